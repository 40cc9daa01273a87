// From a camera's frame to the image that a network takes, bit for bit as Pillow does it to the
// pictures that bench and run take (bitat_deploy/datasets/pictures.py).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bitat_deploy.h"

namespace bitat_deploy {

// What of a frame is used: the middle in the wanted proportions, all of it, or the middle pixels as
// they are.
enum class Fit { kCrop, kStretch, kMiddle };
enum class Filter { kBicubic, kBilinear };

// As bitat_deploy/network/preprocessing.py records it; there it is explained.
struct Preparation {
  Fit fit = Fit::kCrop;
  Filter filter = Filter::kBicubic;
  int height = 0;  // of the frame once resized, of which the middle is taken; 0: the network's
  int width = 0;
  bool bgr = false;
};

// One direction of a resize: the pixels that each pixel of the result is a weighted sum of.
struct Axis {
  std::vector<int> first;             // of each pixel of the result: the first that counts
  std::vector<int> count;             // and how many do
  std::vector<std::int32_t> weights;  // `taps` for each, in units of 2^-22
  int taps = 0;
};

// Prepares frames for one network; keeps the weights for the next frame of the same size.
class Preparer {
 public:
  Preparer(const Preparation& preparation, const bitat_info& info)
      : preparation_(preparation), info_(info) {}

  // Writes `image`, uint8 [height, width, channels]. Throws Failure for a frame that cannot be
  // one, or a network that takes other numbers of channels than 1, 3 and 4.
  void Prepare(const bitat_frame& frame, std::uint8_t* image);

 private:
  void ResizeFrom(const bitat_frame& frame, std::uint8_t* image);
  void PlanFor(int width, int height);

  Preparation preparation_;
  bitat_info info_;
  int planned_width_ = 0;
  int planned_height_ = 0;
  Axis columns_;
  Axis rows_;
  std::vector<std::uint8_t> line_;     // a row of the frame in the network's channels
  std::vector<std::uint8_t> resized_;  // rows of the frame, resized to the network's width
  std::vector<std::int32_t> sums_;     // of a row of the image
};

}  // namespace bitat_deploy
