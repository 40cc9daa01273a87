/* The device library: runs a network that bitat-deploy compiled. Plain C (C99, C11, C++).
 *
 *   bitat_options options = BITAT_OPTIONS;
 *   bitat_network* network = NULL;
 *   if (bitat_open("path/to/bundle", &options, &network) != BITAT_OK) {
 *     fprintf(stderr, "%s\n", bitat_error_text());
 *     return 1;
 *   }
 *   const bitat_info* info = bitat_describe(network);
 *   memcpy(bitat_input(network), pixels, (size_t)info->height * info->width * info->channels);
 *   if (bitat_run(network) == BITAT_OK) use(bitat_logits(network), info->classes);
 *   bitat_close(network);
 *
 * Threads: different networks may be used by different threads at the same time. Calls for one
 * network must not overlap; they may come from different threads one after the other. All other
 * functions may be called by any thread at any time.
 *
 * Versions: functions are only added, and fields only at the end of a structure, so that a program
 * runs with every library that is not older than its header. C++ exceptions never leave the library.
 */
#ifndef BITAT_DEPLOY_H_
#define BITAT_DEPLOY_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BITAT_API __attribute__((visibility("default")))

/* Increased with each addition to this header. */
#define BITAT_VERSION 1

typedef enum bitat_status {
  BITAT_OK = 0,
  BITAT_BAD_ARGUMENT = 1, /* a null pointer, or an option that does not fit the network */
  BITAT_BAD_FILE = 2,     /* a file that is missing or cannot be read */
  BITAT_BAD_NETWORK = 3,  /* no compiled network, a damaged one, or one that failed in its run */
  BITAT_NO_MEMORY = 4
} bitat_status;

typedef struct bitat_network bitat_network;

/* How to open a network. Start from BITAT_OPTIONS: 0 leaves a choice to the library. */
typedef struct bitat_options {
  int size;    /* sizeof(bitat_options), by which the library knows the fields */
  int threads; /* 0 means 1; up to 64, of which the caller of bitat_run is one */
  int batch;   /* images of one run; a network is built for one number */
  /* Of an image. Needed only for a model file without the .txt file that a build puts beside it. */
  int height;
  int width;
  int channels;
} bitat_options;

#define BITAT_OPTIONS {(int)sizeof(bitat_options), 0, 0, 0, 0, 0}

typedef struct bitat_info {
  int threads;
  int batch;
  int height;
  int width;
  int channels;
  int classes; /* 0 until the first run where the network has no .txt file */
} bitat_info;

/* BITAT_VERSION of the header that the library was compiled with. */
BITAT_API int bitat_version(void);

/* What went wrong in the last call of this thread that failed; one line. It lives until the next
 * call of this thread that fails. */
BITAT_API const char* bitat_error_text(void);

/* Loads a network; `*network` is NULL where that fails.
 *
 * `path` is the folder of a bundle or its model file. A program for a static target contains its
 * network: `path` is ignored there, and the network can be opened once at a time. `options` may be
 * NULL. A network of several threads has workers of its own. They wait for a millisecond after a run
 * before they sleep. */
BITAT_API bitat_status bitat_open(const char* path, const bitat_options* options,
                                  bitat_network** network);

/* Frees a network and all that belongs to it; NULL is ignored. */
BITAT_API void bitat_close(bitat_network* network);

/* Lives as long as the network. */
BITAT_API const bitat_info* bitat_describe(const bitat_network* network);

/* Where images go: uint8 [batch, height, width, channels]. The address never changes. */
BITAT_API uint8_t* bitat_input(bitat_network* network);

/* Computes the logits of the images in the input, which stay there. */
BITAT_API bitat_status bitat_run(bitat_network* network);

/* Of the last run: float32 [batch, classes]. Lives until the next run; NULL before the first. */
BITAT_API const float* bitat_logits(const bitat_network* network);

/* Called before (`after` is 0) and after each function that a run calls. Must not use the network.
 * `function` lives as long as the call. */
typedef void (*bitat_watcher)(void* context, const char* function, int after);

/* Has `watcher` called in every run from now on, or nothing if it is NULL. Runs are slower once a
 * network was watched. */
BITAT_API bitat_status bitat_watch(bitat_network* network, bitat_watcher watcher, void* context);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* BITAT_DEPLOY_H_ */
