// Whether bytes are UTF-8, and where they are not.
#pragma once

#include <cstddef>
#include <optional>

namespace doppel {

// The first byte of text[begin, end) at which no UTF-8 character begins (surrogates, overlong forms and characters
// beyond U+10FFFF are none). A character that is cut off at the end is one, unless `is_last`.
std::optional<size_t> find_invalid_utf8(const char* text, size_t begin, size_t end, bool is_last);

// `from`, or the start of the character that began in the three bytes before it and reaches beyond it.
size_t begin_of_character(const char* text, size_t from);

}  // namespace doppel
