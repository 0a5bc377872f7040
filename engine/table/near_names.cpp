#include "engine/table/near_names.h"

#include <algorithm>
#include <cctype>
#include <utility>
#include <vector>

#include "engine/table/cells.h"

namespace doppel {
namespace {

constexpr size_t kMostNames = 3;
constexpr size_t kMostBytes = 100;  // of a name that are compared

// Edits (insert, delete, replace) from one text to the other; Levenshtein's algorithm by rows.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string folded(std::string_view text) {
  std::string result(trimmed(text));
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

std::string near_names(std::span<const std::string> names, const std::string& wanted, const std::string& what) {
  const std::string goal = folded(wanted).substr(0, kMostBytes);
  std::vector<std::pair<size_t, size_t>> distances;
  for (size_t index = 0; index < names.size(); ++index) {
    const std::string candidate = folded(names[index]).substr(0, kMostBytes);
    const bool contains = !goal.empty() && candidate.find(goal) != std::string::npos;
    const size_t distance = contains ? 1 : edit_distance(goal, candidate);
    if (distance <= 1 + goal.size() / 3) distances.emplace_back(distance, index);
  }
  std::sort(distances.begin(), distances.end());
  const bool are_near = !distances.empty();
  std::string listed;
  const size_t count = are_near ? distances.size() : names.size();
  for (size_t at = 0; at < std::min(count, kMostNames); ++at) {
    listed += (at == 0 ? "'" : ", '") + names[are_near ? distances[at].second : at] + "'";
  }
  if (listed.empty()) return ": there are no " + what;
  if (are_near) return ": did you mean " + listed + "?";
  return ": the " + what + " are " + listed + (count > kMostNames ? ", ..." : "");
}

}  // namespace doppel
