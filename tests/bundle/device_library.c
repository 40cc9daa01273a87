/* A plain C program on the device library, for test_device_library.py.
 *
 *   program run PATH IMAGES BATCH THREADS   prints a line of logits for each image
 *   program two PATH IMAGES                 the same from two networks in two threads, checked
 *   program open PATH SIZE THREADS BATCH HEIGHT WIDTH CHANNELS   prints the status and the text
 *   program frames PATH FRAMES WIDTH HEIGHT   the same of RGB frames of that size, with strides
 *   program nulls                           calls everything without a network
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitat_deploy.h"

static int fail(void) {
  fprintf(stderr, "error: %s\n", bitat_error_text());
  return 1;
}

static size_t image_bytes(const bitat_info* info) {
  return (size_t)info->height * (size_t)info->width * (size_t)info->channels;
}

static int run(const char* path, const char* images, int batch, int threads) {
  bitat_options options = BITAT_OPTIONS;
  bitat_network* network = NULL;
  const bitat_info* info;
  size_t count;
  FILE* file = fopen(images, "rb");
  options.batch = batch;
  options.threads = threads;
  if (file == NULL || bitat_open(path, &options, &network) != BITAT_OK) return fail();
  info = bitat_describe(network);
  if (info->threads != threads || info->batch != batch || bitat_logits(network) != NULL) return 2;
  while ((count = fread(bitat_input(network), image_bytes(info), (size_t)batch, file)) > 0) {
    if (bitat_run(network) != BITAT_OK) return fail();
    for (size_t i = 0; i < count * (size_t)info->classes; ++i) {
      printf("%.9g%c", (double)bitat_logits(network)[i],
             (i + 1) % (size_t)info->classes == 0 ? '\n' : ' ');
    }
  }
  bitat_close(network);
  fclose(file);
  return 0;
}

/* Rows lie in memory with a gap, and every second frame upside down. */
static int frames(const char* path, const char* name, int width, int height) {
  const int tight = width * 3, stride = tight + 7;
  bitat_network* network = NULL;
  FILE* file = fopen(name, "rb");
  uint8_t* memory = malloc((size_t)stride * (size_t)height);
  int count = 0;
  if (file == NULL || memory == NULL || bitat_open(path, NULL, &network) != BITAT_OK) return fail();
  for (;; ++count) {
    bitat_frame frame = {NULL, 0, 0, 0, BITAT_RGB};
    int row = 0;
    const int reversed = count % 2;
    for (; row < height; ++row) {
      uint8_t* to = memory + (size_t)stride * (size_t)(reversed ? height - 1 - row : row);
      if (fread(to, (size_t)tight, 1, file) != 1) break;
    }
    if (row < height) break;
    frame.pixels = reversed ? memory + (size_t)stride * (size_t)(height - 1) : memory;
    frame.width = width;
    frame.height = height;
    frame.stride = reversed ? -stride : stride;
    if (bitat_put_frame(network, 0, &frame) != BITAT_OK || bitat_run(network) != BITAT_OK) {
      return fail();
    }
    for (int i = 0; i < bitat_describe(network)->classes; ++i) {
      printf("%.9g ", (double)bitat_logits(network)[i]);
    }
    printf("\n");
  }
  bitat_close(network);
  free(memory);
  fclose(file);
  return 0;
}

struct job {
  bitat_network* network;
  const uint8_t* images;
  size_t count;
  float* logits; /* of all images */
  bitat_status status;
};

static void* work(void* argument) {
  struct job* const job = argument;
  const bitat_info* const info = bitat_describe(job->network);
  const size_t classes = (size_t)info->classes, bytes = image_bytes(info);
  for (int round = 0; round < 20 && job->status == BITAT_OK; ++round) {
    for (size_t i = 0; i < job->count && job->status == BITAT_OK; ++i) {
      memcpy(bitat_input(job->network), job->images + i * bytes, bytes);
      job->status = bitat_run(job->network);
      if (job->status == BITAT_OK) {
        memcpy(job->logits + i * classes, bitat_logits(job->network), classes * sizeof(float));
      }
    }
  }
  return NULL;
}

static int two(const char* path, const char* images) {
  static uint8_t pixels[1 << 20];
  bitat_options options = BITAT_OPTIONS;
  struct job jobs[2];
  pthread_t threads[2];
  FILE* file = fopen(images, "rb");
  const size_t size = file == NULL ? 0 : fread(pixels, 1, sizeof pixels, file);
  size_t count = 0, classes = 0;
  memset(jobs, 0, sizeof jobs);
  for (int i = 0; i < 2; ++i) {
    options.threads = 3 - i;
    if (bitat_open(path, &options, &jobs[i].network) != BITAT_OK) return fail();
    count = size / image_bytes(bitat_describe(jobs[i].network));
    classes = (size_t)bitat_describe(jobs[i].network)->classes;
    jobs[i].images = pixels;
    jobs[i].count = count;
    jobs[i].logits = calloc(count * classes, sizeof(float));
  }
  for (int i = 0; i < 2; ++i) pthread_create(&threads[i], NULL, work, &jobs[i]);
  for (int i = 0; i < 2; ++i) pthread_join(threads[i], NULL);
  if (memcmp(jobs[0].logits, jobs[1].logits, count * classes * sizeof(float)) != 0) return 3;
  /* The other one goes on when one is closed. */
  bitat_close(jobs[0].network);
  memset(jobs[1].logits, 0, count * classes * sizeof(float));
  work(&jobs[1]);
  if (jobs[0].status != BITAT_OK || jobs[1].status != BITAT_OK) return fail();
  for (size_t i = 0; i < count * classes; ++i) {
    printf("%.9g%c", (double)jobs[1].logits[i], (i + 1) % classes == 0 ? '\n' : ' ');
  }
  bitat_close(jobs[1].network);
  return 0;
}

static int open_once(char** values) {
  bitat_options options = BITAT_OPTIONS;
  bitat_network* network = NULL;
  bitat_status status;
  options.size += atoi(values[1]);
  options.threads = atoi(values[2]);
  options.batch = atoi(values[3]);
  options.height = atoi(values[4]);
  options.width = atoi(values[5]);
  options.channels = atoi(values[6]);
  status = bitat_open(values[0], &options, &network);
  if ((status == BITAT_OK) != (network != NULL)) return 4;
  if (status == BITAT_OK) status = bitat_run(network);
  printf("%d %s\n", (int)status, bitat_error_text());
  if (status == BITAT_OK) {
    bitat_network* again = NULL;
    options.threads = 3 - options.threads; /* each has its own */
    if (bitat_open(values[0], &options, &again) != BITAT_OK) printf("%s\n", bitat_error_text());
    bitat_close(again);
  }
  bitat_close(network);
  return 0;
}

static int nulls(void) {
  bitat_close(NULL);
  if (bitat_describe(NULL) != NULL || bitat_input(NULL) != NULL || bitat_logits(NULL) != NULL) {
    return 5;
  }
  printf("%d %s\n", (int)bitat_open("", NULL, NULL), bitat_error_text());
  if (bitat_name(NULL) != NULL || bitat_class_name(NULL, 0) != NULL) return 5;
  if (bitat_built_by(NULL) != NULL || bitat_preparation(NULL) != NULL) return 5;
  printf("%d %s\n", (int)bitat_put_frame(NULL, 0, NULL), bitat_error_text());
  printf("%d %s\n", (int)bitat_run(NULL), bitat_error_text());
  printf("%d %s\n", (int)bitat_watch(NULL, NULL, NULL), bitat_error_text());
  return bitat_version() == BITAT_VERSION ? 0 : 6;
}

int main(int count, char** values) {
  if (count == 6 && strcmp(values[1], "run") == 0) {
    return run(values[2], values[3], atoi(values[4]), atoi(values[5]));
  }
  if (count == 6 && strcmp(values[1], "frames") == 0) {
    return frames(values[2], values[3], atoi(values[4]), atoi(values[5]));
  }
  if (count == 4 && strcmp(values[1], "two") == 0) return two(values[2], values[3]);
  if (count == 9 && strcmp(values[1], "open") == 0) return open_once(values + 2);
  if (count == 2 && strcmp(values[1], "nulls") == 0) return nulls();
  return 7;
}
