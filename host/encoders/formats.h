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
Format idx_format();      // images and their labels, a file each
Format png_format();      // a tar archive of class folders of PNG files

// For formats without compression: throws UsageError if one is asked for.
void check_uncompressed(const std::string& format, const EncoderOptions& options);

// For formats of tables alone and of images alone: throws UsageError for rows of the other kind.
void check_no_images(const std::string& format, const OutputSchema& schema);
void check_images(const std::string& format, const OutputSchema& schema);

// A batch's rows that are images: about so many bytes, a multiple of 256, which samplers make no slower than a part of it.
int64_t image_rows_per_batch(const OutputSchema& schema, int64_t bytes);

}  // namespace doppel
