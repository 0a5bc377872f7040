#include "host/readers/utf8.h"

#include <cstdint>
#include <cstring>

namespace doppel {
namespace {

// Bytes of the character that `lead` begins, 0: none.
size_t character_bytes(uint8_t lead) {
  if (lead < 0x80) return 1;
  if (lead < 0xc2) return 0;  // a continuation, or an overlong form
  if (lead < 0xe0) return 2;
  if (lead < 0xf0) return 3;
  return lead < 0xf5 ? 4 : 0;
}

bool is_continuation(uint8_t byte) {
  return (byte & 0xc0) == 0x80;
}

// Whether the second byte suits the first: Unicode 15, table 3-7.
bool is_second(uint8_t lead, uint8_t second) {
  if (lead == 0xe0) return second >= 0xa0 && second <= 0xbf;
  if (lead == 0xed) return second >= 0x80 && second <= 0x9f;
  if (lead == 0xf0) return second >= 0x90 && second <= 0xbf;
  if (lead == 0xf4) return second >= 0x80 && second <= 0x8f;
  return is_continuation(second);
}

}  // namespace

std::optional<size_t> find_invalid_utf8(const char* text, size_t begin, size_t end, bool is_last) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(text);
  size_t at = begin;
  while (at < end) {
    uint64_t eight;
    while (at + sizeof eight <= end) {
      std::memcpy(&eight, bytes + at, sizeof eight);
      if ((eight & 0x8080808080808080u) != 0) break;
      at += sizeof eight;
    }
    if (at == end) break;
    const size_t length = character_bytes(bytes[at]);
    if (length == 0) return at;
    for (size_t byte = 1; byte < length; ++byte) {
      if (at + byte == end) return is_last ? std::optional(at) : std::nullopt;
      if (!(byte == 1 ? is_second(bytes[at], bytes[at + 1]) : is_continuation(bytes[at + byte]))) return at;
    }
    at += length;
  }
  return std::nullopt;
}

size_t begin_of_character(const char* text, size_t from) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(text);
  for (size_t back = 1; back <= 3 && back <= from; ++back) {
    if (is_continuation(bytes[from - back])) continue;
    return character_bytes(bytes[from - back]) > back ? from - back : from;
  }
  return from;
}

}  // namespace doppel
