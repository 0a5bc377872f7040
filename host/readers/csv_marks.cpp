#include "host/readers/csv_marks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/readers/csv_marks.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace doppel {
namespace HWY_NAMESPACE {
namespace {

#if HWY_TARGET == HWY_SCALAR
void find(const char* text, size_t words, char delimiter, uint64_t* marks) {
  for (size_t word = 0; word < words; ++word) {
    uint64_t bits = 0;
    for (size_t at = 0; at < 64; ++at) {
      const char byte = text[64 * word + at];
      bits |= uint64_t{byte == delimiter || byte == '\n' || byte == '\r'} << at;
    }
    marks[word] = bits;
  }
}
#else
namespace hn = hwy::HWY_NAMESPACE;

void find(const char* text, size_t words, char delimiter, uint64_t* marks) {
  const hn::CappedTag<uint8_t, 64> bytes;
  const size_t lanes = hn::Lanes(bytes);
  const auto delimiters = hn::Set(bytes, static_cast<uint8_t>(delimiter));
  const auto feeds = hn::Set(bytes, uint8_t{'\n'}), returns = hn::Set(bytes, uint8_t{'\r'});
  for (size_t word = 0; word < words; ++word) {
    uint8_t bits[16];  // StoreMaskBits may write up to eight bytes
    for (size_t at = 0; at < 64; at += lanes) {
      const auto here = hn::LoadU(bytes, reinterpret_cast<const uint8_t*>(text) + 64 * word + at);
      const auto is_mark = hn::Or(hn::Or(hn::Eq(here, delimiters), hn::Eq(here, feeds)), hn::Eq(here, returns));
      hn::StoreMaskBits(bytes, is_mark, bits + at / 8);
    }
    std::memcpy(&marks[word], bits, sizeof marks[word]);
  }
}
#endif

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace doppel
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace doppel {

HWY_EXPORT(find);

void find_marks(const char* text, size_t words, char delimiter, uint64_t* marks) {
  HWY_DYNAMIC_DISPATCH(find)(text, words, delimiter, marks);
}

}  // namespace doppel
#endif
