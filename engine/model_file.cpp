#include "engine/model_file.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <string_view>

#include "kernels/common/error.h"

namespace doppel {
namespace {

using Json = nlohmann::json;

static_assert(std::endian::native == std::endian::little,
              "model files are little-endian, and tensors are copied as they are");

constexpr size_t kLengthBytes = 8;
constexpr uint64_t kMaximumHeaderBytes = 100'000'000;  // as in the safetensors library
constexpr size_t kAlignment = 8;  // of the first tensor; the order of tensors keeps the others aligned
// The header of our files begins so: the checksum is at one place, whatever else the header holds.
constexpr std::string_view kHead = R"({"__metadata__":{"checksum":")";
constexpr size_t kChecksumOffset = kLengthBytes + kHead.size();
constexpr size_t kChecksumDigits = 32;

struct TypeName {
  DataType type;
  const char* name;  // of the safetensors format
  size_t bytes;
};
constexpr TypeName kTypes[] = {{DataType::kU8, "U8", 1},
                               {DataType::kI32, "I32", 4},
                               {DataType::kI64, "I64", 8},
                               {DataType::kF32, "F32", 4},
                               {DataType::kF64, "F64", 8}};
const TypeName& describe(DataType type) {
  return kTypes[static_cast<size_t>(type)];
}

template <class T>
constexpr DataType type_of();
template <>
constexpr DataType type_of<uint8_t>() {
  return DataType::kU8;
}
template <>
constexpr DataType type_of<int32_t>() {
  return DataType::kI32;
}
template <>
constexpr DataType type_of<int64_t>() {
  return DataType::kI64;
}
template <>
constexpr DataType type_of<float>() {
  return DataType::kF32;
}
template <>
constexpr DataType type_of<double>() {
  return DataType::kF64;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text;
  for (int64_t extent : shape) {
    if (!text.empty()) text += ", ";
    text += extent < 0 ? "any" : std::to_string(extent);
  }
  return text.insert(0, "[") + "]";
}

// Bytes of a tensor, or none where the product leaves 63 bits or an extent is negative.
bool tensor_bytes(DataType type, const std::vector<int64_t>& shape, uint64_t& bytes) {
  bytes = describe(type).bytes;
  for (int64_t extent : shape) {
    if (extent < 0) return false;
    if (extent != 0 &&
        bytes > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) / static_cast<uint64_t>(extent))
      return false;
    bytes *= static_cast<uint64_t>(extent);
  }
  return true;
}

uint64_t read_length(std::span<const std::byte> bytes) {
  uint64_t length;
  std::memcpy(&length, bytes.data(), kLengthBytes);
  return length;
}

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool has_checksum(std::span<const std::byte> bytes) {
  return bytes.size() >= kChecksumOffset + kChecksumDigits && text_of(bytes.subspan(kLengthBytes)).starts_with(kHead);
}

// Widest elements first, so that each tensor is aligned to its type without gaps, which the format does not allow.
std::vector<std::pair<std::string, const Tensor*>> in_file_order(const ModelFile& model) {
  std::vector<std::pair<std::string, const Tensor*>> order;
  for (const auto& [name, tensor] : model.tensors) order.emplace_back(name, &tensor);
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return describe(a.second->type).bytes > describe(b.second->type).bytes;
  });
  return order;
}

std::string make_header(const ModelFile& model) {
  std::string header(kHead);
  header += std::string(kChecksumDigits, '0') + R"(","doppel":)" + Json(model.metadata.dump()).dump() + "}";
  uint64_t offset = 0;
  for (const auto& [name, tensor] : in_file_order(model)) {
    uint64_t bytes = 0;
    if (name == "__metadata__" || !tensor_bytes(tensor->type, tensor->shape, bytes) || bytes != tensor->bytes.size())
      throw Error("model file: tensor '" + name + "' of shape " + shape_text(tensor->shape) + " contradicts itself");
    const Json entry{
        {"dtype", describe(tensor->type).name}, {"shape", tensor->shape}, {"data_offsets", {offset, offset + bytes}}};
    header += "," + Json(name).dump() + ":" + entry.dump();
    offset += bytes;
  }
  header += "}";
  header.resize((header.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  return header;
}

class Parser {
 public:
  Parser(std::span<const std::byte> bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  ModelFile parse() {
    check_length();
    check_checksum();
    const Json header = parse_header();
    ModelFile model;
    const auto metadata = header.find("__metadata__");
    if (metadata == header.end() || !metadata->is_object() || !metadata->contains("doppel") ||
        !metadata->at("doppel").is_string())
      fail("it has no description of a model");
    model.metadata = parse_json(metadata->at("doppel").get_ref<const std::string&>(), "its description");
    if (!model.metadata.is_object()) fail("its description is not a JSON object");
    model.tensors = parse_all(header);
    return model;
  }

  std::map<std::string, Tensor> parse_foreign() {
    check_length();
    return parse_all(parse_header());
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw InputError(name_ + ": not a usable model file: " + what);
  }

  void check_length() {
    if (bytes_.size() < kLengthBytes) fail("it is shorter than the length of a header");
    length_ = read_length(bytes_);
    if (length_ > kMaximumHeaderBytes) fail("its header would be longer than 100 MB; was it made by doppel fit?");
    if (length_ > bytes_.size() - kLengthBytes) fail("it is truncated: copy it again");
  }

  void check_checksum() const {
    if (!has_checksum(bytes_)) fail("it does not begin as doppel fit writes it");
    const std::string written(text_of(bytes_.subspan(kChecksumOffset, kChecksumDigits)));
    const std::string actual = model_checksum(bytes_);
    if (written != actual)
      fail("it is damaged or truncated: its checksum is " + actual + ", and " + written +
           " is written in it; copy it again");
  }

  Json parse_header() const {
    Json header = parse_json(text_of(bytes_.subspan(kLengthBytes, length_)), "its header");
    if (!header.is_object()) fail("its header is not a JSON object");
    return header;
  }

  std::map<std::string, Tensor> parse_all(const Json& header) {
    std::map<std::string, Tensor> tensors;
    for (const auto& [tensor_name, entry] : header.items())
      if (tensor_name != "__metadata__") tensors[tensor_name] = parse_tensor(tensor_name, entry);
    check_coverage();
    return tensors;
  }

  Json parse_json(std::string_view text, const char* what) const {
    try {
      return Json::parse(text);
    } catch (const Json::exception& error) {
      fail(std::string(what) + " is not JSON (" + error.what() + ")");
    }
  }

  uint64_t number(const Json& json, const std::string& tensor_name) const {
    if (!json.is_number_unsigned())
      fail("tensor '" + tensor_name + "' has a shape or offset that is not a whole number");
    return json.get<uint64_t>();
  }

  Tensor parse_tensor(const std::string& tensor_name, const Json& entry) {
    if (!entry.is_object() || !entry.contains("dtype") || !entry.contains("shape") || !entry.contains("data_offsets") ||
        !entry["dtype"].is_string() || !entry["shape"].is_array() || !entry["data_offsets"].is_array() ||
        entry["data_offsets"].size() != 2)
      fail("tensor '" + tensor_name + "' is not described by dtype, shape and data_offsets");
    const auto& dtype = entry["dtype"].get_ref<const std::string&>();
    const auto type =
        std::find_if(std::begin(kTypes), std::end(kTypes), [&](const TypeName& t) { return dtype == t.name; });
    if (type == std::end(kTypes))
      fail("tensor '" + tensor_name + "' is of type " + dtype + "; known are U8, I32, I64, F32, F64");
    Tensor tensor{type->type, {}, {}};
    for (const Json& extent : entry["shape"]) tensor.shape.push_back(static_cast<int64_t>(number(extent, tensor_name)));
    const uint64_t begin = number(entry["data_offsets"][0], tensor_name),
                   end = number(entry["data_offsets"][1], tensor_name);
    const std::span<const std::byte> data = bytes_.subspan(kLengthBytes + length_);
    if (begin > end || end > data.size()) fail("tensor '" + tensor_name + "' lies outside the file");
    uint64_t size = 0;
    if (!tensor_bytes(tensor.type, tensor.shape, size) || size != end - begin)
      fail("tensor '" + tensor_name + "' of shape " + shape_text(tensor.shape) + " does not fit its offsets");
    ranges_.emplace_back(begin, end);
    // Checked before the copies: overlapping tensors could otherwise add up to more than the file.
    if ((copied_ += end - begin) > data.size()) fail("its tensors overlap");
    tensor.bytes.assign(data.begin() + static_cast<ptrdiff_t>(begin), data.begin() + static_cast<ptrdiff_t>(end));
    return tensor;
  }

  // Every byte belongs to exactly one tensor, as the format demands.
  void check_coverage() {
    std::sort(ranges_.begin(), ranges_.end());
    uint64_t covered = 0;
    for (const auto& [begin, end] : ranges_) {
      if (begin != covered) fail(begin < covered ? "its tensors overlap" : "there are bytes between its tensors");
      covered = end;
    }
    if (covered != bytes_.size() - kLengthBytes - length_) fail("there are bytes after its tensors");
  }

  std::span<const std::byte> bytes_;
  const std::string& name_;
  uint64_t length_ = 0, copied_ = 0;
  std::vector<std::pair<uint64_t, uint64_t>> ranges_;
};

}  // namespace

template <class T>
Tensor Tensor::from(const std::vector<T>& values, std::vector<int64_t> shape) {
  Tensor tensor{type_of<T>(), std::move(shape), std::vector<std::byte>(values.size() * sizeof(T))};
  if (!values.empty()) std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
  return tensor;
}

template <class T>
std::vector<T> Tensor::to() const {
  if (type != type_of<T>())
    throw InputError(std::string("model file: a tensor is of type ") + describe(type).name + " where " +
                     describe(type_of<T>()).name + " is needed");
  std::vector<T> values(bytes.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

#define DOPPEL_TENSOR_OF(T)                                                     \
  template Tensor Tensor::from<T>(const std::vector<T>&, std::vector<int64_t>); \
  template std::vector<T> Tensor::to<T>() const;
DOPPEL_TENSOR_OF(uint8_t)
DOPPEL_TENSOR_OF(int32_t)
DOPPEL_TENSOR_OF(int64_t)
DOPPEL_TENSOR_OF(float)
DOPPEL_TENSOR_OF(double)
#undef DOPPEL_TENSOR_OF

const Tensor& ModelFile::tensor(const std::string& name, const std::vector<int64_t>& shape) const {
  const auto found = tensors.find(name);
  if (found == tensors.end()) throw InputError("model file: it has no tensor '" + name + "'");
  const std::vector<int64_t>& actual = found->second.shape;
  const bool fits = std::equal(shape.begin(), shape.end(), actual.begin(), actual.end(),
                               [](int64_t wanted, int64_t extent) { return wanted == -1 || wanted == extent; });
  if (!fits)
    throw InputError("model file: tensor '" + name + "' has shape " + shape_text(actual) + " where " +
                     shape_text(shape) + " is needed");
  return found->second;
}

std::vector<std::byte> serialise(const ModelFile& model) {
  const std::string header = make_header(model);
  size_t size = kLengthBytes + header.size();
  for (const auto& [name, tensor] : model.tensors) size += tensor.bytes.size();
  std::vector<std::byte> bytes(size);
  const uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, kLengthBytes);
  std::memcpy(bytes.data() + kLengthBytes, header.data(), header.size());
  std::byte* next = bytes.data() + kLengthBytes + header.size();
  for (const auto& [name, tensor] : in_file_order(model))
    next = std::copy(tensor->bytes.begin(), tensor->bytes.end(), next);
  const std::string checksum = model_checksum(bytes);
  std::memcpy(bytes.data() + kChecksumOffset, checksum.data(), kChecksumDigits);
  return bytes;
}

ModelFile parse_model_file(std::span<const std::byte> bytes, const std::string& name) {
  return Parser(bytes, name).parse();
}

std::map<std::string, Tensor> parse_tensors(std::span<const std::byte> bytes, const std::string& name) {
  return Parser(bytes, name).parse_foreign();
}

std::string model_checksum(std::span<const std::byte> bytes) {
  // Where there is no checksum (not a model file), everything is hashed.
  const size_t before = has_checksum(bytes) ? kChecksumOffset : bytes.size();
  const std::span<const std::byte> after =
      bytes.subspan(has_checksum(bytes) ? kChecksumOffset + kChecksumDigits : bytes.size());
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(), XXH3_freeState);
  if (!state) throw std::bad_alloc();
  XXH3_128bits_reset(state.get());
  XXH3_128bits_update(state.get(), bytes.data(), before);
  XXH3_128bits_update(state.get(), after.data(), after.size());
  const XXH128_hash_t hash = XXH3_128bits_digest(state.get());
  char digits[kChecksumDigits + 1];
  std::snprintf(digits, sizeof(digits), "%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return digits;
}

}  // namespace doppel
