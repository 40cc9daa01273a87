// What a build writes down of a network, besides the network itself: model.txt in a bundle.
#pragma once

#include <string>
#include <vector>

#include "bitat_deploy.h"
#include "prepare.h"

namespace bitat_deploy {

struct Description {
  bitat_info info{};  // 0 where it says nothing
  std::string name;
  std::string version;  // of the bitat-deploy that compiled it
  std::string input;    // what is done to a frame, for people
  Preparation preparation;
  std::vector<std::string> classes;  // as many as info.classes, or none
};

// Reads `text`, a key and its values on each line; unknown keys are ignored, so that more can be
// added. `source` names it in messages. Throws std::exception where it is of another version or
// damaged: what it says is bounded, and free of control characters.
Description ParseDescription(const std::string& text, const std::string& source);

}  // namespace bitat_deploy
