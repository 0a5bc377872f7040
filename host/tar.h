// The head of a file in a tar archive, POSIX's ustar format: archives are heads of 512 bytes, each followed by its file
// filled up to 512 bytes; two blocks of zeros are the end.
#pragma once

#include <cstddef>
#include <cstring>

namespace doppel {

inline constexpr size_t kTarBlock = 512;

struct TarHead {
  char name[100], mode[8], owner[8], group[8], size[12], time[12], checksum[8], type, link[100], magic[6], version[2],
      owner_name[32], group_name[32], major[8], minor[8], prefix[155], padding[12];
};
static_assert(sizeof(TarHead) == kTarBlock);

// The sum of the head's bytes, those of the checksum as blanks.
inline unsigned tar_checksum(TarHead head) {
  std::memset(head.checksum, ' ', sizeof head.checksum);
  unsigned sum = 0;
  const auto* const bytes = reinterpret_cast<const unsigned char*>(&head);
  for (size_t i = 0; i < sizeof head; ++i) sum += bytes[i];
  return sum;
}

}  // namespace doppel
