// Resizing by a filter as wide as the pixels of the result, in two passes with rounded bytes
// between them. The algorithm, and the order of its floating-point operations, are those of
// Pillow's src/libImaging/Resample.c and ImageOps.fit, so that the bytes are the same.
#include "prepare.h"

#include <algorithm>
#include <climits>
#include <cmath>
#include <cstring>
#include <string>

#include "network.h"

// A fused multiplication and addition rounds once where Pillow rounds twice.
#pragma STDC FP_CONTRACT OFF

namespace bitat_deploy {

namespace {

constexpr int kBits = 22;  // of a weight, after the point
constexpr std::int32_t kHalf = 1 << (kBits - 1);
constexpr int kMaximumExtent = 1 << 14;

double Weight(Filter filter, double x) {
  x = x < 0.0 ? -x : x;
  if (filter == Filter::kBilinear) return x < 1.0 ? 1.0 - x : 0.0;
  if (x < 1.0) return ((-0.5 + 2.0) * x - (-0.5 + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * -0.5;
  return 0.0;
}

// Resizes [from, to) of `size` pixels to `whole`, of which the result is `length` in the middle.
Axis MakeAxis(Filter filter, int size, float from, float to, int whole, int length) {
  const double scale = static_cast<double>(to - from) / whole;
  const double filter_scale = scale < 1.0 ? 1.0 : scale;
  const double support = (filter == Filter::kBilinear ? 1.0 : 2.0) * filter_scale;
  const double inverse = 1.0 / filter_scale;
  Axis axis;
  axis.taps = static_cast<int>(std::ceil(support)) * 2 + 1;
  axis.first.resize(length);
  axis.count.resize(length);
  axis.weights.assign(static_cast<std::size_t>(length) * axis.taps, 0);
  std::vector<double> exact(axis.taps);
  const int skipped = (whole - length) / 2;
  for (int pixel = 0; pixel < length; ++pixel) {
    const double center = from + (skipped + pixel + 0.5) * scale;
    const int first = std::max(static_cast<int>(center - support + 0.5), 0);
    const int end = std::min(static_cast<int>(center + support + 0.5), size);
    double sum = 0.0;
    for (int x = 0; x < end - first; ++x) {
      exact[x] = Weight(filter, (x + first - center + 0.5) * inverse);
      sum += exact[x];
    }
    axis.first[pixel] = first;
    axis.count[pixel] = end - first;
    std::int32_t* const weights = &axis.weights[static_cast<std::size_t>(pixel) * axis.taps];
    for (int x = 0; x < end - first; ++x) {
      const double weight = sum != 0.0 ? exact[x] / sum : exact[x];
      const double scaled = weight * (1 << kBits);
      weights[x] = static_cast<std::int32_t>(weight < 0 ? -0.5 + scaled : 0.5 + scaled);
    }
  }
  return axis;
}

std::uint8_t Byte(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::min(std::max(sum >> kBits, 0), 255));
}

// Where a format's colours are in a pixel.
struct Layout {
  int bytes, red, green, blue;
};

Layout LayoutOf(bitat_format format) {
  switch (format) {
    case BITAT_RGB:
      return {3, 0, 1, 2};
    case BITAT_BGR:
      return {3, 2, 1, 0};
    case BITAT_GREY:
      return {1, 0, 0, 0};
    case BITAT_RGBX:
      return {4, 0, 1, 2};
    case BITAT_BGRX:
      return {4, 2, 1, 0};
  }
  throw Failure(BITAT_BAD_ARGUMENT, "the frame has a format that this library does not know");
}

// `count` pixels of a frame's row in the network's channels.
void Convert(const std::uint8_t* from, const Layout& layout, int count, int channels, bool bgr,
             std::uint8_t* to) {
  if (channels == layout.bytes && (channels == 1 || (channels == 3 && bgr == (layout.red == 2)))) {
    std::memcpy(to, from, static_cast<std::size_t>(count) * channels);
    return;
  }
  for (int i = 0; i < count; ++i, from += layout.bytes, to += channels) {
    const int red = from[layout.red], green = from[layout.green], blue = from[layout.blue];
    if (channels == 1) {
      to[0] = static_cast<std::uint8_t>((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16);
      continue;
    }
    to[0] = static_cast<std::uint8_t>(bgr ? blue : red);
    to[1] = static_cast<std::uint8_t>(green);
    to[2] = static_cast<std::uint8_t>(bgr ? red : blue);
    if (channels == 4) to[3] = 255;
  }
}

template <int channels>
void ResizeRow(const Axis& axis, const std::uint8_t* line, int start, std::uint8_t* to) {
  const int length = static_cast<int>(axis.first.size());
  for (int pixel = 0; pixel < length; ++pixel, to += channels) {
    const std::uint8_t* from = line + static_cast<std::size_t>(axis.first[pixel] - start) * channels;
    const std::int32_t* const weights = &axis.weights[static_cast<std::size_t>(pixel) * axis.taps];
    std::int32_t sums[channels];
    for (int c = 0; c < channels; ++c) sums[c] = kHalf;
    for (int x = 0; x < axis.count[pixel]; ++x, from += channels) {
      for (int c = 0; c < channels; ++c) sums[c] += from[c] * weights[x];
    }
    for (int c = 0; c < channels; ++c) to[c] = Byte(sums[c]);
  }
}

int Start(const Axis& axis) { return axis.first.front(); }
int End(const Axis& axis) { return axis.first.back() + axis.count.back(); }

}  // namespace

void Preparer::Prepare(const bitat_frame& frame, std::uint8_t* image) {
  if (info_.channels != 1 && info_.channels != 3 && info_.channels != 4) {
    throw Failure(BITAT_BAD_ARGUMENT, "the network takes images of " +
                                          std::to_string(info_.channels) +
                                          " channels; frames have 1 or 3: fill bitat_input");
  }
  if (frame.pixels == nullptr || frame.width < 1 || frame.height < 1 ||
      frame.width > kMaximumExtent || frame.height > kMaximumExtent) {
    throw Failure(BITAT_BAD_ARGUMENT, "a frame has pixels, and 1 to " +
                                          std::to_string(kMaximumExtent) + " rows and columns");
  }
  const int least = frame.width * LayoutOf(frame.format).bytes;
  if (frame.stride > -least && frame.stride < least && frame.stride != 0) {
    throw Failure(BITAT_BAD_ARGUMENT, "the frame's rows have " + std::to_string(least) +
                                          " bytes, more than its stride of " +
                                          std::to_string(frame.stride));
  }
  bitat_frame tight = frame;
  if (tight.stride == 0) tight.stride = least;
  if (preparation_.fit != Fit::kMiddle) return ResizeFrom(tight, image);
  if (frame.width < info_.width || frame.height < info_.height) {
    throw Failure(BITAT_BAD_ARGUMENT, "the network takes the middle " +
                                          std::to_string(info_.width) + "x" +
                                          std::to_string(info_.height) +
                                          " pixels of a frame, this one is smaller");
  }
  const Layout layout = LayoutOf(frame.format);
  const int top = (frame.height - info_.height) / 2, left = (frame.width - info_.width) / 2;
  for (int row = 0; row < info_.height; ++row) {
    const std::uint8_t* const from =
        tight.pixels + static_cast<std::ptrdiff_t>(top + row) * tight.stride + left * layout.bytes;
    Convert(from, layout, info_.width, info_.channels, preparation_.bgr,
            image + static_cast<std::size_t>(row) * info_.width * info_.channels);
  }
}

void Preparer::PlanFor(int width, int height) {
  if (width == planned_width_ && height == planned_height_) return;
  planned_width_ = planned_height_ = 0;  // where memory runs out below
  const int whole_width = preparation_.width != 0 ? preparation_.width : info_.width;
  const int whole_height = preparation_.height != 0 ? preparation_.height : info_.height;
  double used_width = width, used_height = height;
  if (preparation_.fit == Fit::kCrop) {
    const double given = static_cast<double>(width) / height;
    const double wanted = static_cast<double>(whole_width) / whole_height;
    if (given > wanted) {
      used_width = wanted * height;
    } else if (given < wanted) {
      used_height = width / wanted;
    }
  }
  const double left = (width - used_width) * 0.5, top = (height - used_height) * 0.5;
  columns_ = MakeAxis(preparation_.filter, width, static_cast<float>(left),
                      static_cast<float>(left + used_width), whole_width, info_.width);
  rows_ = MakeAxis(preparation_.filter, height, static_cast<float>(top),
                   static_cast<float>(top + used_height), whole_height, info_.height);
  const std::size_t bytes = static_cast<std::size_t>(info_.width) * info_.channels;
  line_.resize(static_cast<std::size_t>(End(columns_) - Start(columns_)) * info_.channels);
  resized_.resize(bytes * (End(rows_) - Start(rows_)));
  sums_.resize(bytes);
  planned_width_ = width;
  planned_height_ = height;
}

void Preparer::ResizeFrom(const bitat_frame& frame, std::uint8_t* image) {
  PlanFor(frame.width, frame.height);
  const Layout layout = LayoutOf(frame.format);
  const int start = Start(columns_), end = End(columns_);
  const std::size_t bytes = sums_.size();
  for (int row = Start(rows_); row < End(rows_); ++row) {
    const std::uint8_t* const from = frame.pixels +
                                     static_cast<std::ptrdiff_t>(row) * frame.stride +
                                     static_cast<std::ptrdiff_t>(start) * layout.bytes;
    Convert(from, layout, end - start, info_.channels, preparation_.bgr, line_.data());
    std::uint8_t* const to = &resized_[bytes * (row - Start(rows_))];
    if (info_.channels == 1) ResizeRow<1>(columns_, line_.data(), start, to);
    if (info_.channels == 3) ResizeRow<3>(columns_, line_.data(), start, to);
    if (info_.channels == 4) ResizeRow<4>(columns_, line_.data(), start, to);
  }
  for (int row = 0; row < info_.height; ++row, image += bytes) {
    const std::int32_t* const weights = &rows_.weights[static_cast<std::size_t>(row) * rows_.taps];
    std::fill(sums_.begin(), sums_.end(), kHalf);
    for (int y = 0; y < rows_.count[row]; ++y) {
      const std::uint8_t* const from = &resized_[bytes * (rows_.first[row] + y - Start(rows_))];
      const std::int32_t weight = weights[y];
      for (std::size_t i = 0; i < bytes; ++i) sums_[i] += from[i] * weight;
    }
    for (std::size_t i = 0; i < bytes; ++i) image[i] = Byte(sums_[i]);
  }
}

}  // namespace bitat_deploy
