#include "engine/image/label_choice.h"

#include <algorithm>

#include "engine/table/near_names.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

size_t find_label(const std::string& name, const std::vector<std::string>& names) {
  const auto at = std::find(names.begin(), names.end(), name);
  if (at == names.end())
    throw UsageError("--label: there is no label '" + name + "'" + near_names(names, name, "labels"));
  return static_cast<size_t>(at - names.begin());
}

// One item of a list: a name (which may itself hold two dots), or two names with dots between them.
void choose_item(const std::string& item, const std::vector<std::string>& names, std::vector<double>& weights) {
  const size_t dots = item.find("..");
  if (dots == std::string::npos || std::find(names.begin(), names.end(), item) != names.end()) {
    weights[find_label(item, names)] = 1;
    return;
  }
  const size_t first = find_label(item.substr(0, dots), names), last = find_label(item.substr(dots + 2), names);
  if (last < first) throw UsageError("--label " + item + " runs backwards: give the earlier label first");
  std::fill(weights.begin() + static_cast<ptrdiff_t>(first), weights.begin() + static_cast<ptrdiff_t>(last) + 1, 1.0);
}

}  // namespace

std::vector<double> choose_labels(const std::string& choice, const std::vector<std::string>& names,
                                  const std::vector<double>& as_data) {
  if (choice == kLabelsAsData) return as_data;
  if (names.empty()) throw UsageError("--label " + choice + ": the model was learned from images without labels");
  if (choice == "balanced") return std::vector<double>(names.size(), 1.0);
  std::vector<double> weights(names.size());
  if (std::find(names.begin(), names.end(), choice) != names.end()) {  // a name with a comma, too
    weights[find_label(choice, names)] = 1;
    return weights;
  }
  for (size_t begin = 0; begin <= choice.size();) {
    const size_t end = std::min(choice.find(',', begin), choice.size());
    choose_item(choice.substr(begin, end - begin), names, weights);
    begin = end + 1;
  }
  return weights;
}

}  // namespace doppel
