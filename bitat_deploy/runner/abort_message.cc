// Prints an error line when the process ends in abort(), as C++ libraries do that find no memory.
//
// TVM's libraries allocate while they are loaded, before main. In a dynamically linked program only
// .preinit_array runs before that.

#include <signal.h>
#include <unistd.h>

namespace {

// AddressSanitizer starts later, and handles abort() itself.
#ifndef __SANITIZE_ADDRESS__

constexpr int kNoMemory = 6;

void Explain(int) {
  const char message[] =
      "error: a library gave up, for which too little memory is the usual reason; "
      "end other programs on this device\n";
  if (write(STDERR_FILENO, message, sizeof message - 1) < 0) _exit(kNoMemory);
  _exit(kNoMemory);
}

void Install(int, char**, char**) { signal(SIGABRT, Explain); }

__attribute__((section(".preinit_array"), used)) void (*const kInstall)(int, char**,
                                                                        char**) = Install;
#endif

}  // namespace
