/* A network as data: the calls of its kernels, with their arguments. C, because it is generated. */
#pragma once

/* Their types alone: nothing is linked. */
#include <dlpack/dlpack.h>
#include <stdint.h>
#include <tvm/ffi/c_api.h>

#ifdef __cplusplus
extern "C" {
#endif

struct Call {
  const char* name;
  TVMFFISafeCallType kernel;
  const TVMFFIAny* arguments; /* inputs, constants, output */
  int32_t count;
};

struct Plan {
  const struct Call* calls;
  int32_t count;
  const DLTensor* input;  /* uint8 [1, height, width, channels] */
  const DLTensor* output; /* float32 [1, classes] */
  const char* description; /* the text that a bundle with shared libraries has in model.txt */
};

extern const struct Plan bitat_deploy_plan;

#ifdef __cplusplus
}
#endif
