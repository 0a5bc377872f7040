// The model file: safetensors (https://github.com/huggingface/safetensors, "Format"): 8 bytes little-endian header length,
// a JSON header {"__metadata__": {...}, "tensor": {"dtype", "shape", "data_offsets"}}, then the tensors. All of our metadata
// is under the one key "doppel" of __metadata__ as a JSON text (the format allows strings only), beside "checksum".
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

namespace doppel {

enum class DataType : uint8_t { kU8, kI32, kI64, kF32, kF64 };

struct Tensor {
  DataType type = DataType::kF32;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;  // row-major, little-endian

  template <class T> static Tensor from(const std::vector<T>& values, std::vector<int64_t> shape);
  template <class T> std::vector<T> to() const;  // throws InputError when the type is not T's
};

struct ModelFile {
  nlohmann::json metadata;               // "kind", "version", "schema", "provenance", ...
  std::map<std::string, Tensor> tensors;
  // The tensor called `name`. Throws InputError naming it when it is not there or its shape differs (-1: any).
  const Tensor& tensor(const std::string& name, const std::vector<int64_t>& shape) const;
};

// To and from bytes; files are the host's business. Bytes are a pure function of the model (sorted names, no time stamps).
// parse throws InputError: truncated, not safetensors, checksum differs (any flipped bit is found), overlapping or
// out-of-range offsets, a header over 100 MB. `name` is for messages.
std::vector<std::byte> serialise(const ModelFile& model);
ModelFile parse_model_file(std::span<const std::byte> bytes, const std::string& name);
// The tensors of any safetensors file: without our metadata and checksum.
std::map<std::string, Tensor> parse_tensors(std::span<const std::byte> bytes, const std::string& name);
// XXH3-128 of everything but the checksum itself, in hex: the identity of a model, written into manifests.
std::string model_checksum(std::span<const std::byte> bytes);

}  // namespace doppel
