// An output format. Batches are encoded on any thread in any order; an ordered writer concatenates the results:
//   file = head() + encode(batch 0) + encode(batch 1) + ... + tail(descriptors of the batches, in order)
// so that a file's bytes are a function of its row range only. One file per format in this folder, one line in the
// registry.
//
// Some formats of images keep labels in a file of their own, the companion, which is made beside each file:
//   companion = companion_head() + the companion's part of encode(batch 0) + ...
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/batch.h"

namespace doppel {

// Bytes that are reused from batch to batch: no allocation in the steady state, no zeroing on growth.
class ByteBuffer {
 public:
  std::byte* reserve(size_t bytes);  // room for `bytes` more; returns where they go
  void commit(size_t bytes) { size_ += bytes; }
  void append(const void* data, size_t bytes);
  void clear() { size_ = 0; }
  const std::byte* data() const { return data_.get(); }
  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }  // bytes of memory held

 private:
  std::unique_ptr<std::byte[]> data_;
  size_t size_ = 0, capacity_ = 0;
};

// What the tail needs to know of one batch: its rows, the length of its bytes and what the format notes for itself.
struct EncodedBatch {
  int64_t rows = 0;
  int64_t bytes = 0;                 // appended in all
  std::shared_ptr<const void> note;  // Parquet: the row group's metadata; IPC: the block's metadata length
  int64_t companion_bytes = 0;       // the last ones of `bytes`: they go to the companion
};

struct EncoderOptions {
  std::string compression = "default";  // none, snappy, lz4, zstd, zstd:LEVEL, gzip where the format has them
  std::string provenance;               // JSON put into the file's own metadata where the format has a place for it
};

// One per worker thread (it may keep scratch memory); head, tail and encode give the same bytes on every instance.
class Encoder {
 public:
  virtual ~Encoder() = default;
  virtual void head(int64_t file_rows, ByteBuffer& out) = 0;
  virtual EncodedBatch encode(const Batch& batch, ByteBuffer& out) = 0;  // appends to out
  virtual void tail(std::span<const EncodedBatch> batches, ByteBuffer& out) = 0;
  virtual void companion_head(int64_t /*file_rows*/, ByteBuffer& /*out*/) {}
};

struct Format {
  std::string name;       // "parquet"
  std::string extension;  // ".parquet"
  std::string summary;    // one line for --help
  // Rows a batch: part of the format's bytes (a Parquet row group), so a function of the schema only.
  int64_t (*rows_per_batch)(const OutputSchema& schema);
  std::unique_ptr<Encoder> (*make)(const OutputSchema& schema, const EncoderOptions& options);  // throws UsageError
  std::vector<std::string> compressions;
  // What stands in the place of the extension in the companion's name; "": rows of the schema have none. Null: no rows
  // do.
  std::string (*companion_extension)(const OutputSchema& schema) = nullptr;
  bool is_of_images = false;  // and of no tables

  std::string companion_of(const OutputSchema& schema) const {
    return companion_extension == nullptr ? "" : companion_extension(schema);
  }
};

const std::vector<Format>& formats();
const Format& find_format(const std::string& name);          // throws UsageError listing the names there are
const Format* format_of_extension(const std::string& path);  // null: the path ends in no format's extension

}  // namespace doppel
