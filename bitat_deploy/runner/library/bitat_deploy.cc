#include "bitat_deploy.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>
#include <utility>

#include "network.h"
#include "prepare.h"

struct bitat_network {
  std::unique_ptr<bitat_deploy::Network> network;
  bitat_info info;
  bitat_deploy::Description description;
  bitat_deploy::Preparer preparer;
  bool has_run;
};

namespace bitat_deploy {

namespace {

// No std::string: it would have to be destroyed with the thread.
thread_local char error_text[1024] = "";

bitat_status Fail(bitat_status status, const char* text) {
  // TVM adds a trace of the calls, line by line.
  const std::size_t length = std::min(std::strcspn(text, "\n"), sizeof error_text - 1);
  std::memmove(error_text, text, length);
  error_text[length] = '\0';
  return status;
}

// What TVM and the dynamic loader say of it: their exceptions do not pass to this library.
bool IsAboutMemory(const char* text) {
  for (const char* const words : {"bad_alloc", "annot allocate memory", "failed to map segment",
                                  "out of memory", "Resource temporarily unavailable"}) {
    if (std::strstr(text, words) != nullptr) return true;
  }
  return false;
}

// Runs `action`; no exception passes.
template <typename Action>
bitat_status Guard(const Action& action) {
  const char* const memory = "not enough memory; end other programs on this device";
  try {
    action();
    return BITAT_OK;
  } catch (const Failure& failure) {
    return Fail(failure.status(), failure.what());
  } catch (const std::bad_alloc&) {
    return Fail(BITAT_NO_MEMORY, memory);
  } catch (const std::exception& error) {
    if (IsAboutMemory(error.what())) return Fail(BITAT_NO_MEMORY, memory);
    return Fail(BITAT_BAD_NETWORK, error.what());
  } catch (...) {
    return Fail(BITAT_BAD_NETWORK, "the network failed and does not say why");
  }
}

void Require(bool condition, const char* text) {
  if (!condition) throw Failure(BITAT_BAD_ARGUMENT, text);
}

bitat_info Wanted(const bitat_options* given) {
  bitat_options options = BITAT_OPTIONS;
  if (given != nullptr) {
    // Fields of later versions follow; `size` then says which of them the program knows.
    Require(given->size == options.size,
            "the options are of another version of bitat_deploy.h; start from BITAT_OPTIONS");
    options = *given;
  }
  const int most = 1 << 14;
  for (const int value :
       {options.threads, options.batch, options.height, options.width, options.channels}) {
    Require(value >= 0 && value <= most, "an option is negative or too large");
  }
  return {options.threads, options.batch, options.height, options.width, options.channels, 0};
}

}  // namespace

void Settle(bitat_info& info, const bitat_info& network) {
  const auto shape = [](const bitat_info& one) {
    return std::to_string(one.height) + "x" + std::to_string(one.width) + "x" +
           std::to_string(one.channels);
  };
  const auto differs = [](int asked, int own) { return asked != 0 && own != 0 && asked != own; };
  if (differs(info.height, network.height) || differs(info.width, network.width) ||
      differs(info.channels, network.channels)) {
    throw Failure(BITAT_BAD_ARGUMENT, "the network is for images of the shape " + shape(network) +
                                          ", not " + shape(info));
  }
  if (differs(info.batch, network.batch)) {
    throw Failure(BITAT_BAD_ARGUMENT, "the network takes batches of " +
                                          std::to_string(network.batch) + ", not of " +
                                          std::to_string(info.batch) + "; build it for those");
  }
  const auto settle = [](int& asked, int own) { asked = own != 0 ? own : asked; };
  settle(info.height, network.height);
  settle(info.width, network.width);
  settle(info.channels, network.channels);
  settle(info.batch, network.batch);
  settle(info.classes, network.classes);
}

}  // namespace bitat_deploy

using bitat_deploy::Guard;
using bitat_deploy::Require;

extern "C" {

int bitat_version(void) { return BITAT_VERSION; }

const char* bitat_error_text(void) { return bitat_deploy::error_text; }

bitat_status bitat_open(const char* path, const bitat_options* options, bitat_network** network) {
  if (network != nullptr) *network = nullptr;
  return Guard([&] {
    Require(network != nullptr, "there is no place for the network: the pointer is NULL");
    bitat_info info = bitat_deploy::Wanted(options);
    bitat_deploy::Description description;
    auto loaded = bitat_deploy::LoadNetwork(path == nullptr ? "" : path, info, description);
    const bitat_deploy::Preparer preparer(description.preparation, info);
    *network = new bitat_network{std::move(loaded), info, std::move(description), preparer, false};
  });
}

void bitat_close(bitat_network* network) {
  Guard([&] { delete network; });
}

const bitat_info* bitat_describe(const bitat_network* network) {
  return network == nullptr ? nullptr : &network->info;
}

uint8_t* bitat_input(bitat_network* network) {
  return network == nullptr ? nullptr : network->network->input();
}

bitat_status bitat_put_frame(bitat_network* network, int image, const bitat_frame* frame) {
  return Guard([&] {
    Require(network != nullptr, "there is no network: the pointer is NULL");
    Require(frame != nullptr, "there is no frame: the pointer is NULL");
    const bitat_info& info = network->info;
    Require(image >= 0 && image < info.batch, "the network takes no such image at once");
    const std::size_t bytes = static_cast<std::size_t>(info.height) * info.width * info.channels;
    network->preparer.Prepare(*frame, network->network->input() + image * bytes);
  });
}

bitat_status bitat_run(bitat_network* network) {
  return Guard([&] {
    Require(network != nullptr, "there is no network: the pointer is NULL");
    network->has_run = false;
    network->network->Run();
    if (network->info.classes == 0) network->info.classes = network->network->classes();
    if (network->info.classes != network->network->classes()) {
      throw std::runtime_error("the network has another number of classes than its .txt file says");
    }
    network->has_run = true;
  });
}

const float* bitat_logits(const bitat_network* network) {
  return network == nullptr || !network->has_run ? nullptr : network->network->logits();
}

const char* bitat_name(const bitat_network* network) {
  return network == nullptr ? nullptr : network->description.name.c_str();
}

const char* bitat_built_by(const bitat_network* network) {
  return network == nullptr ? nullptr : network->description.version.c_str();
}

const char* bitat_preparation(const bitat_network* network) {
  return network == nullptr ? nullptr : network->description.input.c_str();
}

const char* bitat_class_name(const bitat_network* network, int index) {
  if (network == nullptr || index < 0) return nullptr;
  const auto& classes = network->description.classes;
  return static_cast<std::size_t>(index) < classes.size() ? classes[index].c_str() : nullptr;
}

bitat_status bitat_watch(bitat_network* network, bitat_watcher watcher, void* context) {
  return Guard([&] {
    Require(network != nullptr, "there is no network: the pointer is NULL");
    network->network->Watch(watcher, context);
  });
}

}  // extern "C"
