#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <charconv>
#include <cstring>
#include <optional>

#include "host/readers/image_formats.h"
#include "host/readers/utf8.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

static_assert(std::endian::native == std::endian::little);
constexpr size_t kLongestHead = 1 << 16;  // NumPy's own limit for plain arrays is 10,000

struct Head {
  std::string type;  // "|u1"
  bool is_fortran = false;
  std::vector<int64_t> shape;
};

// The head's text is a Python dictionary of three entries; reads its way through it.
class HeadText {
 public:
  HeadText(const std::string& path, std::string text) : path_(path), text_(std::move(text)) {}

  Head parse() {
    Head head;
    expect('{');
    while (!take('}')) {
      const std::string key = quoted();
      expect(':');
      if (key == "descr") {
        if (peek() == '[')
          throw InputError(path_ + ": is a structured array: write a plain one of images or of labels");
        head.type = quoted();
      } else if (key == "fortran_order") {
        head.is_fortran = word() == "True";
      } else if (key == "shape") {
        head.shape = numbers();
      } else {
        fail();
      }
      if (!take(',') && peek() != '}') fail();
    }
    if (head.type.empty()) fail();
    return head;
  }

 private:
  [[noreturn]] void fail() const {
    throw InputError(path_ + ": byte " + std::to_string(at_) + " of its head is not what NumPy writes: write it again");
  }
  char peek() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool take(char wanted) {
    if (peek() != wanted) return false;
    ++at_;
    return true;
  }
  void expect(char wanted) {
    if (!take(wanted)) fail();
  }
  std::string quoted() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') fail();
    const size_t end = text_.find(quote, at_ + 1);
    if (end == std::string::npos) fail();
    const std::string inner = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return inner;
  }
  std::string word() {
    peek();
    const size_t begin = at_;
    while (at_ < text_.size() && std::isalpha(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
    if (at_ == begin) fail();
    return text_.substr(begin, at_ - begin);
  }
  std::vector<int64_t> numbers() {
    std::vector<int64_t> list;
    expect('(');
    while (!take(')')) {
      peek();
      int64_t number = -1;
      const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), number);
      if (error != std::errc() || number < 0) fail();
      at_ = static_cast<size_t>(end - text_.data());
      list.push_back(number);
      if (!take(',') && peek() != ')') fail();
    }
    return list;
  }

  const std::string& path_;
  std::string text_;
  size_t at_ = 0;
};

Head read_npy_head(const std::string& path, ByteSource& from) {
  std::array<uint8_t, 12> start{};
  const bool is_whole = from.read(reinterpret_cast<char*>(start.data()), 10) == 10;
  if (!is_whole || std::memcmp(start.data(), "\x93NUMPY", 6) != 0)
    throw InputError(path + ": does not begin as an NPY file does");
  size_t length = start[8] | size_t{start[9]} << 8;
  if (start[6] == 2 || start[6] == 3) {
    if (from.read(reinterpret_cast<char*>(start.data()) + 10, 2) < 2) throw InputError(path + ": ends within its head");
    length |= size_t{start[10]} << 16 | size_t{start[11]} << 24;
  } else if (start[6] != 1) {
    throw InputError(path + ": byte 7: NPY version " + std::to_string(start[6]) + ", and 1 to 3 are known");
  }
  if (length > kLongestHead) throw InputError(path + ": its head is too long for an array of images or labels");
  std::string text(length, '\0');
  if (from.read(text.data(), length) < length) throw InputError(path + ": ends within its head: copy it again");
  return HeadText(path, std::move(text)).parse();
}

std::string describe_shape(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (const int64_t extent : shape) text += (text.size() == 1 ? "" : ", ") + std::to_string(extent);
  return text + "]";
}

// A label type: whole numbers of 1 to 8 bytes, or texts of so many bytes (S) or code points (U).
struct LabelType {
  char kind;  // 'i', 'u', 'S' or 'U'
  size_t bytes;
};
std::optional<LabelType> label_type(const std::string& text) {
  if (text.size() < 3 || text[0] == '>') return std::nullopt;
  LabelType type{text[1], 0};
  const auto [end, error] = std::from_chars(text.data() + 2, text.data() + text.size(), type.bytes);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  const bool is_number = type.kind == 'i' || type.kind == 'u';
  if (type.kind == 'U') type.bytes *= 4;
  if (is_number && (type.bytes == 1 || type.bytes == 2 || type.bytes == 4 || type.bytes == 8)) return type;
  constexpr size_t kLongestText = 4096;
  if ((type.kind == 'S' || type.kind == 'U') && type.bytes >= 1 && type.bytes <= kLongestText) return type;
  return std::nullopt;
}

int64_t number_of(const LabelType& type, const char* bytes) {
  uint64_t bits = 0;
  std::memcpy(&bits, bytes, type.bytes);
  if (type.kind == 'u') return static_cast<int64_t>(bits);
  const auto unused = static_cast<int>(64 - 8 * type.bytes);
  return static_cast<int64_t>(bits << unused) >> unused;
}

void append_code_point(uint32_t code, std::string& text) {
  if (code < 0x80) {
    text += static_cast<char>(code);
    return;
  }
  const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  text += static_cast<char>((0xff00u >> (more + 1) & 0xffu) | code >> 6 * more);
  for (int i = more - 1; i >= 0; --i) text += static_cast<char>(0x80u | (code >> 6 * i & 0x3fu));
}

std::string text_of(const LabelType& type, const char* bytes) {
  if (type.kind == 'S') {
    const char* end = bytes + type.bytes;
    while (end > bytes && end[-1] == '\0') --end;
    return std::string(bytes, end);
  }
  std::string text;
  for (size_t at = 0; at < type.bytes; at += 4) {
    uint32_t code = 0;
    std::memcpy(&code, bytes + at, 4);
    if (code == 0) break;
    append_code_point(std::min<uint32_t>(code, 0x10ffff), text);
  }
  return text;
}

}  // namespace

void read_npy_images(const std::string& path, ImageCollector& to) {
  ByteSource from(path);
  const Head head = read_npy_head(path, from);
  if (head.type != "|u1" && head.type != "<u1" && head.type != "u1")
    throw InputError(path + ": holds values of type '" + head.type +
                     "', and images are bytes (numpy: (255 * x).astype('uint8') of values from 0 to 1)");
  if (head.is_fortran) throw InputError(path + ": is in Fortran order: write numpy.ascontiguousarray of it");
  const std::vector<int64_t>& shape = head.shape;
  if (shape.size() < 3 || shape.size() > 4)
    throw InputError(path + ": has the shape " + describe_shape(shape) +
                     ", and images have [count, height, width] or [count, height, width, channels]: reshape it");
  for (size_t i = 0; i < shape.size(); ++i)
    if (shape[i] > INT32_MAX || (i > 0 && shape[i] < 1))
      throw InputError(path + ": has the shape " + describe_shape(shape) + ": dimension " + std::to_string(i + 1) +
                       " is out of range");
  to.expect(path,
            {shape.size() == 4 ? static_cast<int32_t>(shape[3]) : 1, static_cast<int32_t>(shape[1]),
             static_cast<int32_t>(shape[2])},
            shape[0]);
  to.append_rest(path, from, shape[0]);
}

FileLabels read_npy_labels(const std::string& path) {
  ByteSource from(path);
  const Head head = read_npy_head(path, from);
  const std::optional<LabelType> type = label_type(head.type);
  if (!type)
    throw InputError(path + ": holds values of type '" + head.type +
                     "', and labels are whole numbers or texts in the order of bytes of this machine");
  if (head.shape.size() != 1)
    throw InputError(path + ": has the shape " + describe_shape(head.shape) + ", and labels have [count]: reshape it");
  FileLabels labels;
  std::string bytes(type->bytes, '\0');
  while (labels.count() <= head.shape[0]) {
    const size_t got = from.read(bytes.data(), bytes.size());
    if (got == 0) break;
    if (got < bytes.size()) throw InputError(path + ": ends within a label: copy it again");
    if (type->kind == 'i' || type->kind == 'u') {
      labels.numbers.push_back(number_of(*type, bytes.data()));
      if (type->kind == 'u' && labels.numbers.back() < 0) throw InputError(path + ": has a label beyond 2^63");
    } else {
      labels.texts.push_back(text_of(*type, bytes.data()));
      const std::string& text = labels.texts.back();
      if (find_invalid_utf8(text.data(), 0, text.size(), true))
        throw InputError(path + ": has a label that is not UTF-8");
    }
  }
  if (labels.count() != head.shape[0])
    throw InputError(path + ": says that it has " + std::to_string(head.shape[0]) + " labels and has " +
                     (labels.count() > head.shape[0] ? "more" : std::to_string(labels.count())) + ": copy it again");
  return labels;
}

}  // namespace doppel
