#include "engine/models/count_option.h"

#include <charconv>

#include "kernels/common/error.h"

namespace doppel {

std::optional<int64_t> parse_count_option(const char* option, const std::string& text, int64_t most) {
  if (text == "auto") return std::nullopt;
  int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size() || count < 1 || count > most)
    throw UsageError(std::string(option) + " '" + text + "': a number from 1 to " + std::to_string(most) + ", or auto");
  return count;
}

}  // namespace doppel
