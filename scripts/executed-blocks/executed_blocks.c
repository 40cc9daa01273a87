/* A plugin of QEMU's user emulation: which blocks of code the guest executed, and how often.
 *
 *   qemu-aarch64 -plugin ./libexecuted_blocks.so,out=FILE[,l1=KIB:WAYS,l2=KIB:WAYS] PROGRAM ...
 *
 * writes a line for each block to FILE when the guest ends: its address in hexadecimal, how often it
 * was entered, misses of the first and of the second level of cache, and its instructions, eight
 * hexadecimal digits each. All threads count. The same program on the same input gives the same
 * numbers, whatever else runs.
 *
 * With l1 and l2, loads and stores go through two levels of cache of 64-byte lines, each of them
 * set-associative, least recently used, allocating on writes, without prefetching: what hardware
 * fetches ahead counts as a miss here. Instructions are not fetched through them.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qemu_plugin.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

enum { LINE_BYTES = 64 };

typedef struct block {
  struct block *next;
  uint64_t address, entered, misses[2];
  size_t size;
  uint32_t code[];
} block;

typedef struct {
  uint64_t sets, ways, clock;
  uint64_t *lines;  /* [sets][ways], one more than the line's number, or 0 */
  uint64_t *used;   /* [sets][ways] */
} cache;

static block *blocks;
static const char *output;
static cache caches[2];

static int is_miss(cache *level, uint64_t line) {
  uint64_t *lines = level->lines + line % level->sets * level->ways;
  uint64_t *used = level->used + line % level->sets * level->ways;
  uint64_t oldest = 0;
  for (uint64_t way = 0; way < level->ways; way++) {
    if (lines[way] == line + 1) {
      used[way] = ++level->clock;
      return 0;
    }
    if (used[way] < used[oldest]) oldest = way;
  }
  lines[oldest] = line + 1;
  used[oldest] = ++level->clock;
  return 1;
}

static void on_access(unsigned int vcpu_index, qemu_plugin_meminfo_t info, uint64_t address,
                      void *data) {
  (void)vcpu_index;
  block *accessing = data;
  uint64_t last = (address + (1u << qemu_plugin_mem_size_shift(info)) - 1) / LINE_BYTES;
  for (uint64_t line = address / LINE_BYTES; line <= last; line++) {
    if (!is_miss(&caches[0], line)) continue;
    accessing->misses[0]++;
    accessing->misses[1] += is_miss(&caches[1], line);
  }
}

static void on_block_entered(unsigned int vcpu_index, void *data) {
  (void)vcpu_index;
  __atomic_fetch_add(&((block *)data)->entered, 1, __ATOMIC_RELAXED);
}

static void on_block_translated(qemu_plugin_id_t id, struct qemu_plugin_tb *translated) {
  (void)id;
  size_t size = qemu_plugin_tb_n_insns(translated);
  block *added = calloc(1, sizeof(block) + size * sizeof(uint32_t));
  if (added == NULL) abort();
  added->address = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(translated, 0));
  added->size = size;
  for (size_t i = 0; i < size; i++) {
    struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(translated, i);
    memcpy(&added->code[i], qemu_plugin_insn_data(instruction), sizeof(uint32_t));
    if (caches[0].sets)
      qemu_plugin_register_vcpu_mem_cb(instruction, on_access, QEMU_PLUGIN_CB_NO_REGS,
                                       QEMU_PLUGIN_MEM_RW, added);
  }
  do {
    added->next = __atomic_load_n(&blocks, __ATOMIC_RELAXED);
  } while (!__sync_bool_compare_and_swap(&blocks, added->next, added));
  qemu_plugin_register_vcpu_tb_exec_cb(translated, on_block_entered, QEMU_PLUGIN_CB_NO_REGS, added);
}

static void on_exit_of_guest(qemu_plugin_id_t id, void *nothing) {
  (void)id;
  (void)nothing;
  FILE *file = fopen(output, "w");
  if (file == NULL) return;
  for (block *one = blocks; one != NULL; one = one->next) {
    if (one->entered == 0) continue;
    fprintf(file, "%" PRIx64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " ", one->address, one->entered,
            one->misses[0], one->misses[1]);
    for (size_t i = 0; i < one->size; i++) fprintf(file, "%08" PRIx32, one->code[i]);
    fputc('\n', file);
  }
  fclose(file);
}

/* KIB:WAYS; whether it could be read and memory be had. */
static int make_cache(cache *level, const char *text) {
  uint64_t kib = 0;
  if (sscanf(text, "%" SCNu64 ":%" SCNu64, &kib, &level->ways) != 2 || level->ways == 0) return 0;
  level->sets = kib * 1024 / LINE_BYTES / level->ways;
  level->lines = calloc(level->sets * level->ways, sizeof(uint64_t));
  level->used = calloc(level->sets * level->ways, sizeof(uint64_t));
  return level->sets != 0 && level->lines != NULL && level->used != NULL;
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int count,
                                           char **arguments) {
  (void)info;
  for (int i = 0; i < count; i++) {
    if (strncmp(arguments[i], "out=", 4) == 0) output = strdup(arguments[i] + 4);
    else if (strncmp(arguments[i], "l1=", 3) == 0 && make_cache(&caches[0], arguments[i] + 3)) continue;
    else if (strncmp(arguments[i], "l2=", 3) == 0 && make_cache(&caches[1], arguments[i] + 3)) continue;
    else return 1;
  }
  if (output == NULL || (caches[0].sets == 0) != (caches[1].sets == 0)) return 1;
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_block_translated);
  qemu_plugin_register_atexit_cb(id, on_exit_of_guest, NULL);
  return 0;
}
