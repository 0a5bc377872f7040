// Names that people give from memory: what counts as the same name, and what they may have meant.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace doppel {

// Without blanks at both ends, in small letters: names that are equal so are the same to people.
std::string folded(std::string_view text);

// The end of "there is no column 'Life expect'": ": did you mean 'Life expectancy ', ...?", or a few of the names where
// none is near. `what` they are: "columns", "levels".
std::string near_names(std::span<const std::string> names, const std::string& wanted, const std::string& what);

}  // namespace doppel
