#include "description.h"

#include <sstream>
#include <stdexcept>

namespace bitat_deploy {

namespace {

constexpr std::size_t kLongestText = 2000;  // bytes of UTF-8
constexpr std::size_t kMostClasses = 1 << 16;
constexpr int kMaximumExtent = 1 << 14;

bool IsText(const std::string& text) {
  if (text.size() > kLongestText) return false;
  for (const char character : text) {
    const auto byte = static_cast<unsigned char>(character);
    if (byte < 0x20 || byte == 0x7f) return false;
  }
  return true;
}

// Reads one value; whether there is nothing else.
template <typename... Values>
bool ReadAll(const std::string& line, Values&... values) {
  std::istringstream words(line);
  (void)(words >> ... >> values);
  std::string more;
  return !words.fail() && !(words >> more);
}

template <typename Value, typename... Named>
bool Choose(const std::string& word, Value& value, const char* name, Value choice, Named... more) {
  if (word == name) {
    value = choice;
    return true;
  }
  if constexpr (sizeof...(more) > 0) return Choose(word, value, more...);
  return false;
}

bool Take(const std::string& key, const std::string& value, Description& found) {
  bitat_info& info = found.info;
  Preparation& preparation = found.preparation;
  if (key == "shape") return ReadAll(value, info.height, info.width, info.channels);
  if (key == "batch") return ReadAll(value, info.batch);
  if (key == "classes") return ReadAll(value, info.classes);
  if (key == "resized") return ReadAll(value, preparation.height, preparation.width);
  if (key == "fit") {
    return Choose(value, preparation.fit, "crop", Fit::kCrop, "stretch", Fit::kStretch, "middle",
                  Fit::kMiddle);
  }
  if (key == "resize") {
    return Choose(value, preparation.filter, "bicubic", Filter::kBicubic, "bilinear",
                  Filter::kBilinear);
  }
  if (key == "order") return Choose(value, preparation.bgr, "rgb", false, "bgr", true);
  if (key == "name") found.name = value;
  if (key == "version") found.version = value;
  if (key == "input") found.input = value;
  if (key == "class") found.classes.push_back(value);
  return found.classes.size() <= kMostClasses;
}

bool IsExtent(int value) { return value > 0 && value <= kMaximumExtent; }

bool IsSound(const Description& found) {
  const bitat_info& info = found.info;
  const Preparation& preparation = found.preparation;
  if (!IsExtent(info.height) || !IsExtent(info.width) || !IsExtent(info.channels)) return false;
  if (info.batch <= 0 || info.classes <= 0) return false;
  if (!found.classes.empty() && found.classes.size() != static_cast<std::size_t>(info.classes)) {
    return false;
  }
  if (preparation.height == 0 && preparation.width == 0) return true;
  return preparation.height >= info.height && preparation.height <= kMaximumExtent &&
         preparation.width >= info.width && preparation.width <= kMaximumExtent;
}

}  // namespace

Description ParseDescription(const std::string& text, const std::string& source) {
  std::istringstream lines(text);
  std::string line;
  if (!std::getline(lines, line) || line != "bitat-deploy network 1") {
    throw std::runtime_error(source + " is of another version; build the bundle again");
  }
  Description found;
  found.input = "not recorded; the middle of a frame is taken, and resized";
  bool sound = true;
  while (std::getline(lines, line)) {
    const std::size_t space = line.find(' ');
    const std::string value = space == std::string::npos ? "" : line.substr(space + 1);
    sound = sound && IsText(line) && Take(line.substr(0, space), value, found);
  }
  if (!sound || !IsSound(found)) {
    throw std::runtime_error(source + " is damaged; build the bundle again");
  }
  return found;
}

}  // namespace bitat_deploy
