// Numbers as people write them on a command line.
#pragma once

#include <cstdint>
#include <string>

namespace doppel {

// "10M", "1e9", "2^30", "1_000_000": a whole number. "512M", "2GiB", "1.5GB": bytes. Throw UsageError saying what is
// taken.
int64_t parse_count(const std::string& text);
int64_t parse_bytes(const std::string& text);

}  // namespace doppel
