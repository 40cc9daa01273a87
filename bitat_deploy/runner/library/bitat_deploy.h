/* The device library: runs a network that bitat-deploy compiled. Plain C (C99, C11, C++).
 *
 *   bitat_options options = BITAT_OPTIONS;
 *   bitat_network* network = NULL;
 *   if (bitat_open("path/to/bundle", &options, &network) != BITAT_OK) {
 *     fprintf(stderr, "%s\n", bitat_error_text());
 *     return 1;
 *   }
 *   bitat_frame frame = {pixels, 640, 480, 0, BITAT_RGB};
 *   if (bitat_put_frame(network, 0, &frame) == BITAT_OK && bitat_run(network) == BITAT_OK) {
 *     use(bitat_logits(network), bitat_describe(network)->classes);
 *   }
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
#define BITAT_VERSION 2 /* 2: frames, class names and what else a bundle says of its network */

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

/* How a pixel of a frame lies in memory, a byte for each colour. */
typedef enum bitat_format {
  BITAT_RGB = 0,
  BITAT_BGR = 1,
  BITAT_GREY = 2,
  BITAT_RGBX = 3, /* the fourth byte is ignored */
  BITAT_BGRX = 4
} bitat_format;

/* A picture in the program's memory, such as one from a camera. */
typedef struct bitat_frame {
  const uint8_t* pixels; /* the upper left one */
  int width;             /* 1 to 16384, as height */
  int height;
  int stride; /* bytes from a row to the next, negative where that lies before it; 0: no gaps */
  bitat_format format;
} bitat_frame;

/* Makes image number `image` of the input, from 0, of a frame of any size: crops and resizes it,
 * and changes its colours, as the network's bundle records it, and as `bench` and `run` do to
 * pictures, bit for bit. The frame is not needed afterwards. The network keeps some memory for the
 * next frame of the same size. */
BITAT_API bitat_status bitat_put_frame(bitat_network* network, int image, const bitat_frame* frame);

/* Computes the logits of the images in the input, which stay there. */
BITAT_API bitat_status bitat_run(bitat_network* network);

/* Of the last run: float32 [batch, classes]. Lives until the next run; NULL before the first. */
BITAT_API const float* bitat_logits(const bitat_network* network);

/* What the bundle says of its network: one line of UTF-8 each, "" where it says nothing, NULL where
 * there is no network. They live as long as the network. */
BITAT_API const char* bitat_name(const bitat_network* network);
BITAT_API const char* bitat_built_by(const bitat_network* network); /* version of bitat-deploy */
BITAT_API const char* bitat_preparation(const bitat_network* network); /* of frames, in words */

/* The name of a class, one line of UTF-8; NULL where there is no such class, or it has no name. */
BITAT_API const char* bitat_class_name(const bitat_network* network, int index);

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
