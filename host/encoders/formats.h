// The output formats, one file each: what the registry lists.
#pragma once

#include "host/encoders/encoder.h"

namespace doppel {

Format csv_format();      // text, RFC 4180
Format npy_format();      // one structured NumPy array
Format raw_format();      // the NumPy array's records without its header
Format arrow_format();    // Arrow IPC file (Feather V2)
Format arrows_format();   // Arrow IPC stream
Format parquet_format();  // one row group a batch

// For formats without compression: throws UsageError if one is asked for.
void check_uncompressed(const std::string& format, const EncoderOptions& options);

}  // namespace doppel
