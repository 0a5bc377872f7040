// Options of fitting that are a count or left to the model.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace doppel {

// None for "auto". Throws UsageError, naming the option, for what is neither that nor a whole number from 1 to `most`.
std::optional<int64_t> parse_count_option(const char* option, const std::string& text, int64_t most);

}  // namespace doppel
