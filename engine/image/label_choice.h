// Which labels generated images have, as `generate --label` says it:
//   as-data   as frequent as in the data
//   balanced  all equally frequent
//   7   0..9   cat,dog   0..4,9   labels by name, or from one to another in the order of the model's; equally probable
#pragma once

#include <string>
#include <vector>

namespace doppel {

inline constexpr const char* kLabelsAsData = "as-data";

// The weight of each label, [labels], 0 where it is not chosen; `as_data` are their shares of the data. Throws
// UsageError for a label that is not there, naming those that are, and for a choice of none.
std::vector<double> choose_labels(const std::string& choice, const std::vector<std::string>& names,
                                  const std::vector<double>& as_data);

}  // namespace doppel
