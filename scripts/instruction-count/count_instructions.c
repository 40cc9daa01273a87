/* A plugin of QEMU's user emulation: how many instructions the guest executed, in all threads.
 *
 *   qemu-aarch64 -plugin ./libcount_instructions.so,out=FILE PROGRAM ...
 *
 * writes the number to FILE when the guest ends. A block of code counts as executed when it is
 * entered; the same program on the same input gives the same number, whatever else runs.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qemu_plugin.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

static uint64_t instructions;
static const char *output;

static void on_block_entered(unsigned int vcpu_index, void *block_size) {
  (void)vcpu_index;
  __atomic_fetch_add(&instructions, (uint64_t)(uintptr_t)block_size, __ATOMIC_RELAXED);
}

static void on_block_translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
  (void)id;
  void *size = (void *)(uintptr_t)qemu_plugin_tb_n_insns(block);
  qemu_plugin_register_vcpu_tb_exec_cb(block, on_block_entered, QEMU_PLUGIN_CB_NO_REGS, size);
}

static void on_exit_of_guest(qemu_plugin_id_t id, void *nothing) {
  (void)id;
  (void)nothing;
  FILE *file = fopen(output, "w");
  if (file == NULL) return;
  fprintf(file, "%" PRIu64 "\n", instructions);
  fclose(file);
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int count,
                                           char **arguments) {
  (void)info;
  if (count != 1 || strncmp(arguments[0], "out=", 4) != 0) return 1;
  output = strdup(arguments[0] + 4);
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_block_translated);
  qemu_plugin_register_atexit_cb(id, on_exit_of_guest, NULL);
  return 0;
}
