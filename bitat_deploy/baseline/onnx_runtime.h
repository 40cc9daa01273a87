// The few functions of ONNX Runtime's C interface that a run needs.
//
// Written from its documentation, so that its headers are not needed. OrtApi is a structure of
// function pointers only, and new ones are only added at its end. GetApi(1) returns the structure of
// version 1, which has all functions below. It is read as an array here: a function is an index.
// https://github.com/microsoft/onnxruntime/blob/main/include/onnxruntime/core/session/onnxruntime_c_api.h
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace bitat_deploy {

struct OrtEnv;
struct OrtMemoryInfo;
struct OrtSession;
struct OrtSessionOptions;
struct OrtStatus;  // null is success
struct OrtTensorTypeAndShapeInfo;
struct OrtValue;

// What OrtGetApiBase gives.
struct OrtApiBase {
  const void* const* (*GetApi)(std::uint32_t version);
  const char* (*GetVersionString)();
};

// Enumerations of the interface, with the values used here.
constexpr int kLogErrors = 3;          // ORT_LOGGING_LEVEL_ERROR
constexpr int kAllOptimizations = 99;  // ORT_ENABLE_ALL
constexpr int kFloat = 1;              // ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT
constexpr int kUint8 = 2;              // ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8
constexpr int kArenaAllocator = 1;     // OrtArenaAllocator
constexpr int kDefaultMemory = 0;      // OrtMemTypeDefault

// The index of a function in OrtApi and its type; it returns null or an error.
template <std::size_t place, typename... Arguments>
struct OrtFunction {};

using GetErrorMessage = const char* (*)(const OrtStatus*);
constexpr std::size_t kGetErrorMessage = 2;

constexpr OrtFunction<3, int, const char*, OrtEnv**> kCreateEnv;
constexpr OrtFunction<7, const OrtEnv*, const char*, const OrtSessionOptions*, OrtSession**>
    kCreateSession;
constexpr OrtFunction<9, OrtSession*, const void*, const char* const*, const OrtValue* const*,
                      std::size_t, const char* const*, std::size_t, OrtValue**>
    kRun;
constexpr OrtFunction<10, OrtSessionOptions**> kCreateSessionOptions;
constexpr OrtFunction<23, OrtSessionOptions*, int> kSetSessionGraphOptimizationLevel;
constexpr OrtFunction<24, OrtSessionOptions*, int> kSetIntraOpNumThreads;
constexpr OrtFunction<25, OrtSessionOptions*, int> kSetInterOpNumThreads;
constexpr OrtFunction<49, const OrtMemoryInfo*, void*, std::size_t, const std::int64_t*,
                      std::size_t, int, OrtValue**>
    kCreateTensorWithDataAsOrtValue;
constexpr OrtFunction<51, OrtValue*, void**> kGetTensorMutableData;
constexpr OrtFunction<60, const OrtTensorTypeAndShapeInfo*, int*> kGetTensorElementType;
constexpr OrtFunction<64, const OrtTensorTypeAndShapeInfo*, std::size_t*>
    kGetTensorShapeElementCount;
constexpr OrtFunction<65, const OrtValue*, OrtTensorTypeAndShapeInfo**> kGetTensorTypeAndShape;
constexpr OrtFunction<69, int, int, OrtMemoryInfo**> kCreateCpuMemoryInfo;

class OnnxRuntime {
 public:
  // Loads libonnxruntime.so, which is looked for in lib/ beside the program. It stays loaded.
  // Throws std::runtime_error.
  OnnxRuntime();

  // Calls a function; throws std::runtime_error with ONNX Runtime's message where it fails.
  template <std::size_t place, typename... Arguments, typename... Given>
  void Call(OrtFunction<place, Arguments...>, Given... given) const {
    using Function = OrtStatus* (*)(Arguments...);
    Check(reinterpret_cast<Function>(const_cast<void*>(api_[place]))(given...));
  }

 private:
  void Check(const OrtStatus* status) const;

  const void* const* api_;
};

}  // namespace bitat_deploy
