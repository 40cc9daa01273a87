// Classifies a camera's pictures, one line for each: camera [OPTIONS] [DEVICE].
//
// DEVICE is a camera by V4L2, /dev/video0 if none is given, or a file of frames, one after the
// other without gaps. The bundle, which bitat_deploy_use_bundle puts beside the program, says how
// a frame is cropped and resized; the library does it.

#include <fcntl.h>
#include <linux/videodev2.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "bitat_deploy.hpp"

namespace {

const char* const kUsage =
    "usage: camera [--size WIDTHxHEIGHT] [--format rgb|bgr|grey] [--frames N] [--threads N]\n"
    "              [--logits] [DEVICE]\n"
    "\n"
    "Prints the likeliest class of each frame and its score. --size and --format ask the camera\n"
    "for such frames, and say what is in a file; --logits also prints all logits.\n";

struct Options {
  std::string device = "/dev/video0";
  int width = 640, height = 480, frames = 0, threads = 1;
  bitat_format format = BITAT_RGB;
  bool logits = false;
};

std::runtime_error SystemError(const std::string& what) {
  return std::runtime_error(what + ": " + std::strerror(errno));
}

Options Parse(int count, char** values) {
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string name = values[i];
    const auto value = [&]() -> std::string {
      if (++i == count) throw std::invalid_argument(name + " needs a value");
      return values[i];
    };
    if (name == "--size") {
      const std::string size = value();
      if (std::sscanf(size.c_str(), "%dx%d", &options.width, &options.height) != 2 ||
          options.width < 1 || options.height < 1) {
        throw std::invalid_argument("--size is like 640x480, not " + size);
      }
    } else if (name == "--format") {
      const std::string format = value();
      if (format != "rgb" && format != "bgr" && format != "grey") {
        throw std::invalid_argument("--format is rgb, bgr or grey, not " + format);
      }
      options.format = format == "rgb" ? BITAT_RGB : format == "bgr" ? BITAT_BGR : BITAT_GREY;
    } else if (name == "--frames") {
      options.frames = std::atoi(value().c_str());
    } else if (name == "--threads") {
      options.threads = std::atoi(value().c_str());
    } else if (name == "--logits") {
      options.logits = true;
    } else if (name[0] != '-') {
      options.device = name;
    } else {
      throw std::invalid_argument("unknown option " + name);
    }
  }
  return options;
}

// What is done with a frame; false ends the program.
using Take = std::function<bool(const bitat_frame&)>;

void ReadFile(const Options& options, const Take& take) {
  std::FILE* const file = std::fopen(options.device.c_str(), "rb");
  if (file == nullptr) throw SystemError("cannot read '" + options.device + "'");
  const std::size_t pixel = options.format == BITAT_GREY ? 1 : 3;
  std::vector<std::uint8_t> pixels(pixel * options.width * options.height);
  bool more = true;
  std::size_t read = 0;
  while (more && (read = std::fread(pixels.data(), 1, pixels.size(), file)) == pixels.size()) {
    more = take({pixels.data(), options.width, options.height, 0, options.format});
  }
  std::fclose(file);
  if (more && read != 0) throw std::runtime_error("'" + options.device + "' ends within a frame");
}

// Two pixels in four bytes, Y U Y V, as most cameras on USB give them (BT.601, limited range).
void FromYuyv(const std::uint8_t* from, int stride, int width, int height, std::uint8_t* to) {
  const auto byte = [](int value) {
    return static_cast<std::uint8_t>(value < 0 ? 0 : value > 255 ? 255 : value);
  };
  for (int row = 0; row < height; ++row, from += stride) {
    for (int x = 0; x < width; ++x, to += 3) {
      const std::uint8_t* const pair = from + x / 2 * 4;
      const int y = 298 * (pair[x % 2 * 2] - 16), u = pair[1] - 128, v = pair[3] - 128;
      to[0] = byte((y + 409 * v + 128) >> 8);
      to[1] = byte((y - 100 * u - 208 * v + 128) >> 8);
      to[2] = byte((y + 516 * u + 128) >> 8);
    }
  }
}

class Camera {
 public:
  explicit Camera(const Options& options) : name_("'" + options.device + "'") {
    device_ = open(options.device.c_str(), O_RDWR);
    if (device_ < 0) throw SystemError("cannot open " + name_);
    ChooseFormat(options);
    v4l2_requestbuffers request{};
    request.count = 4;
    request.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    request.memory = V4L2_MEMORY_MMAP;
    Ask(VIDIOC_REQBUFS, &request, "has no memory for frames");
    for (unsigned i = 0; i < request.count; ++i) {
      v4l2_buffer buffer = Buffer(i);
      Ask(VIDIOC_QUERYBUF, &buffer, "has no memory for frames");
      void* const memory = mmap(nullptr, buffer.length, PROT_READ | PROT_WRITE, MAP_SHARED, device_,
                                static_cast<off_t>(buffer.m.offset));
      if (memory == MAP_FAILED) throw SystemError(name_ + " has no memory for frames");
      memory_.push_back(static_cast<const std::uint8_t*>(memory));
      Ask(VIDIOC_QBUF, &buffer, "takes no memory");
    }
  }

  ~Camera() { close(device_); }

  void Read(const Take& take) {
    int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    Ask(VIDIOC_STREAMON, &type, "does not start");
    std::vector<std::uint8_t> converted;
    for (bool more = true; more;) {
      v4l2_buffer buffer = Buffer(0);
      Ask(VIDIOC_DQBUF, &buffer, "gives no frame");
      const v4l2_pix_format& pixels = format_.fmt.pix;
      const int width = static_cast<int>(pixels.width), height = static_cast<int>(pixels.height);
      const int stride = static_cast<int>(pixels.bytesperline);
      bitat_frame frame = {memory_[buffer.index], width, height, stride, BITAT_RGB};
      if (pixels.pixelformat == V4L2_PIX_FMT_BGR24) frame.format = BITAT_BGR;
      if (pixels.pixelformat == V4L2_PIX_FMT_GREY) frame.format = BITAT_GREY;
      if (pixels.pixelformat == V4L2_PIX_FMT_YUYV) {
        converted.resize(static_cast<std::size_t>(width) * height * 3);
        FromYuyv(frame.pixels, stride, width, height, converted.data());
        frame.pixels = converted.data();
        frame.stride = 0;
      }
      more = take(frame);
      Ask(VIDIOC_QBUF, &buffer, "takes no memory");
    }
  }

 private:
  static v4l2_buffer Buffer(unsigned index) {
    v4l2_buffer buffer{};
    buffer.index = index;
    buffer.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    buffer.memory = V4L2_MEMORY_MMAP;
    return buffer;
  }

  void Ask(unsigned long request, void* argument, const char* otherwise) {
    int result = 0;
    do {
      result = ioctl(device_, request, argument);
    } while (result < 0 && errno == EINTR);
    if (result < 0) throw SystemError(name_ + " " + otherwise);
  }

  // A driver answers with the nearest that it has, also in size.
  void ChooseFormat(const Options& options) {
    const std::uint32_t wanted = options.format == BITAT_GREY  ? V4L2_PIX_FMT_GREY
                                 : options.format == BITAT_BGR ? V4L2_PIX_FMT_BGR24
                                                               : V4L2_PIX_FMT_RGB24;
    for (const std::uint32_t kind : {wanted, std::uint32_t{V4L2_PIX_FMT_YUYV},
                                     std::uint32_t{V4L2_PIX_FMT_RGB24},
                                     std::uint32_t{V4L2_PIX_FMT_BGR24}}) {
      format_ = {};
      format_.type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
      format_.fmt.pix.width = static_cast<std::uint32_t>(options.width);
      format_.fmt.pix.height = static_cast<std::uint32_t>(options.height);
      format_.fmt.pix.pixelformat = kind;
      format_.fmt.pix.field = V4L2_FIELD_NONE;
      Ask(VIDIOC_S_FMT, &format_, "is no camera");
      if (format_.fmt.pix.pixelformat == kind) return;
    }
    throw std::runtime_error(name_ + " gives neither RGB nor YUYV");
  }

  std::string name_;
  int device_ = -1;
  v4l2_format format_{};
  std::vector<const std::uint8_t*> memory_;
};

std::string FolderOf(const std::string& program) {
  const std::size_t slash = program.rfind('/');
  return slash == std::string::npos ? "." : program.substr(0, slash);
}

void Run(const Options& options, const std::string& folder) {
  bitat::Options how;
  how.threads = options.threads;
  bitat::Network network(folder, how);
  std::fprintf(stderr, "%s, built by bitat-deploy %s; of a frame: %s\n", network.name().c_str(),
               network.built_by().c_str(), network.preparation().c_str());
  int frames = 0;
  const Take take = [&](const bitat_frame& frame) {
    const bitat::Answer best = network.Classify(frame, 1)[0];
    std::printf("%s %.3f", best.name.c_str(), best.score);
    if (options.logits) {
      std::printf(":");
      for (int i = 0; i < network.info().classes; ++i) {
        std::printf(" %.9g", static_cast<double>(network.logits()[i]));  // all of a float's digits
      }
    }
    std::printf("\n");
    std::fflush(stdout);
    return ++frames != options.frames;
  };
  struct stat status {};
  if (stat(options.device.c_str(), &status) == 0 && S_ISREG(status.st_mode)) {
    ReadFile(options, take);
  } else {
    Camera(options).Read(take);
  }
}

}  // namespace

int main(int count, char** values) {
  try {
    if (count == 2 && std::strcmp(values[1], "--help") == 0) {
      std::fputs(kUsage, stdout);
      return 0;
    }
    Run(Parse(count, values), FolderOf(values[0]));
    return 0;
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "error: %s\n%s", error.what(), kUsage);
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
