# find_package(bitat_deploy) for programs that run networks which bitat-deploy compiled.
#
#   find_package(bitat_deploy REQUIRED)
#   add_executable(camera camera.cc)
#   bitat_deploy_use_bundle(camera path/to/bundle)
#
# links `camera` with the device library (the target bitat_deploy::bitat_deploy) and puts all that
# the device needs of the bundle beside the program, which opens its own folder. With the
# libraries of the bundle beside it, the program is moved to the device as it is.

get_filename_component(_bitat_deploy_root "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
include("${CMAKE_CURRENT_LIST_DIR}/bitat_deploy-target.cmake")

if(NOT TARGET bitat_deploy::bitat_deploy)
  if(BITAT_DEPLOY_STATIC)
    # The library is compiled with the program, and the network is linked into it.
    enable_language(CXX)
    set(THREADS_PREFER_PTHREAD_FLAG ON)
    find_package(Threads REQUIRED)
    file(GLOB _bitat_deploy_sources "${_bitat_deploy_root}/src/*/*.cc")
    add_library(bitat_deploy STATIC ${_bitat_deploy_sources})
    set_target_properties(bitat_deploy PROPERTIES
      CXX_STANDARD 17 CXX_STANDARD_REQUIRED ON POSITION_INDEPENDENT_CODE ON)
    # Frames are prepared as on all other machines: no fused operations.
    target_compile_options(bitat_deploy PRIVATE -ffp-contract=off)
    target_include_directories(bitat_deploy SYSTEM PRIVATE "${_bitat_deploy_root}/src/include")
    target_include_directories(bitat_deploy PUBLIC "${_bitat_deploy_root}/include")
    target_link_libraries(bitat_deploy PUBLIC Threads::Threads)
    add_library(bitat_deploy::bitat_deploy ALIAS bitat_deploy)
  else()
    add_library(bitat_deploy::bitat_deploy SHARED IMPORTED)
    set_target_properties(bitat_deploy::bitat_deploy PROPERTIES
      IMPORTED_LOCATION "${_bitat_deploy_root}/lib/libbitat_deploy.so"
      IMPORTED_SONAME libbitat_deploy.so
      IMPORTED_LINK_DEPENDENT_LIBRARIES
        "${_bitat_deploy_root}/lib/libtvm_runtime.so;${_bitat_deploy_root}/lib/libtvm_ffi.so"
      INTERFACE_INCLUDE_DIRECTORIES "${_bitat_deploy_root}/include")
  endif()
endif()

# Links `program` with the library, and puts the bundle's files beside it.
function(bitat_deploy_use_bundle program bundle)
  get_filename_component(bundle "${bundle}" ABSOLUTE)
  file(STRINGS "${bundle}/manifest.json" target REGEX "^ +\"architecture\": ")
  if(NOT target MATCHES "\"${BITAT_DEPLOY_ARCHITECTURE}\"")
    message(FATAL_ERROR "'${bundle}' is no bundle for ${BITAT_DEPLOY_ARCHITECTURE}, which this "
      "SDK is for; build it with: bitat-deploy build --target ${BITAT_DEPLOY_TARGET}")
  endif()
  set(files NOTICES.txt)
  if(BITAT_DEPLOY_STATIC)
    target_link_libraries(${program} PRIVATE bitat_deploy::bitat_deploy "${bundle}/network.o")
    set_target_properties(${program} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_link_options(${program} PRIVATE -no-pie)
  else()
    target_link_libraries(${program} PRIVATE bitat_deploy::bitat_deploy)
    set_target_properties(${program} PROPERTIES
      BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "\$ORIGIN/lib")
    list(APPEND files model.so model.txt lib/libbitat_deploy.so lib/libtvm_runtime.so
      lib/libtvm_ffi.so)
  endif()
  foreach(file IN LISTS files)
    add_custom_command(TARGET ${program} POST_BUILD COMMAND "${CMAKE_COMMAND}" -E copy_if_different
      "${bundle}/${file}" "$<TARGET_FILE_DIR:${program}>/${file}")
  endforeach()
endfunction()
