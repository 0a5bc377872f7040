#include "host/png.h"

#include <png.h>
#include <zlib.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr png_uint_32 kLargestRead = 1 << 15;  // sides whose size is still said; libpng refuses more
constexpr size_t kSignatureBytes = 8;

// libpng reports by calling this, which must not return: it jumps to the setjmp of the function that called libpng.
// Those functions hold nothing that has a destructor.
struct Fault {
  char text[160] = "";
};
void on_error(png_structp png, png_const_charp message) {
  auto* fault = static_cast<Fault*>(png_get_error_ptr(png));
  std::snprintf(fault->text, sizeof fault->text, "%s", message);
  png_longjmp(png, 1);
}
void on_warning(png_structp, png_const_charp) {}

// ---- reading

struct Input {
  const std::byte* next;
  size_t left;
};
void read_bytes(png_structp png, png_bytep to, size_t bytes) {
  auto* input = static_cast<Input*>(png_get_io_ptr(png));
  if (bytes > input->left) png_error(png, "it ends too early");
  std::memcpy(to, input->next, bytes);
  input->next += bytes;
  input->left -= bytes;
}

struct Header {
  png_uint_32 width, height;
  int bits, colour_type;
  bool is_transparent;
};

bool read_header(png_structp png, png_infop info, Header& header) {
  if (setjmp(png_jmpbuf(png))) return false;
  png_set_user_limits(png, kLargestRead, kLargestRead);
  png_read_info(png, info);
  png_get_IHDR(png, info, &header.width, &header.height, &header.bits, &header.colour_type, nullptr, nullptr, nullptr);
  header.is_transparent =
      (header.colour_type & PNG_COLOR_MASK_ALPHA) != 0 || png_get_valid(png, info, PNG_INFO_tRNS) != 0;
  return true;
}

bool read_rows(png_structp png, png_infop info, size_t row_bytes, png_bytepp rows) {
  if (setjmp(png_jmpbuf(png))) return false;
  if (png_get_color_type(png, info) == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png);
  if (png_get_bit_depth(png, info) < 8) png_set_expand_gray_1_2_4_to_8(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  if (png_get_rowbytes(png, info) != row_bytes) png_error(png, "its rows have an unexpected length");
  png_read_image(png, rows);
  png_read_end(png, nullptr);
  return true;
}

struct ReadStructs {
  explicit ReadStructs(Fault& fault) {
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &fault, on_error, on_warning);
    if (png != nullptr) info = png_create_info_struct(png);
    if (info == nullptr) throw Error("libpng: cannot start reading");
  }
  ~ReadStructs() { png_destroy_read_struct(&png, &info, nullptr); }
  ReadStructs(const ReadStructs&) = delete;
  ReadStructs& operator=(const ReadStructs&) = delete;
  png_structp png = nullptr;
  png_infop info = nullptr;
};

void check_header(const Header& header, const std::string& name, int32_t largest_side) {
  const std::string size = std::to_string(header.width) + " x " + std::to_string(header.height);
  if (std::max(header.width, header.height) > static_cast<png_uint_32>(largest_side))
    throw InputError(name + ": is " + size + ", and images are at most " + std::to_string(largest_side) + " x " +
                     std::to_string(largest_side) + ": make it smaller (as by ImageMagick's mogrify -resize)");
  if (header.bits > 8)
    throw InputError(name + ": has 16 bits a channel: write it with 8 (as by ImageMagick's mogrify -depth 8)");
  if (header.is_transparent)
    throw InputError(name + ": is transparent: write it on a background (as by ImageMagick's mogrify -alpha remove)");
}

// ---- writing

struct WriteStructs {
  explicit WriteStructs(Fault& fault) {
    png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &fault, on_error, on_warning);
    if (png != nullptr) info = png_create_info_struct(png);
    if (info == nullptr) throw Error("libpng: cannot start writing");
  }
  ~WriteStructs() { png_destroy_write_struct(&png, &info); }
  WriteStructs(const WriteStructs&) = delete;
  WriteStructs& operator=(const WriteStructs&) = delete;
  png_structp png = nullptr;
  png_infop info = nullptr;
};

void append_bytes(png_structp png, png_bytep from, size_t bytes) {
  static_cast<ByteBuffer*>(png_get_io_ptr(png))->append(from, bytes);
}
void flush_nothing(png_structp) {}

bool write_image(png_structp png, png_infop info, const ImageShape& shape, const uint8_t* pixels, int level,
                 ByteBuffer* out) {
  if (setjmp(png_jmpbuf(png))) return false;
  png_set_write_fn(png, out, append_bytes, flush_nothing);
  png_set_compression_level(png, level);
  png_set_IHDR(png, info, static_cast<png_uint_32>(shape.width), static_cast<png_uint_32>(shape.height), 8,
               shape.channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_NONE);  // small images compress no better by differences
  png_write_info(png, info);
  for (int32_t row = 0; row < shape.height; ++row)
    png_write_row(png, pixels + static_cast<size_t>(row) * static_cast<size_t>(shape.width * shape.channels));
  png_write_end(png, nullptr);
  return true;
}

}  // namespace

ImageShape decode_png(std::span<const std::byte> bytes, const std::string& name, int32_t largest_side,
                      std::vector<uint8_t>& pixels) {
  const auto fail = [&](const char* why) {
    return InputError(name + ": is no whole PNG image (" + why + "): write it again");
  };
  if (bytes.size() < kSignatureBytes ||
      png_sig_cmp(reinterpret_cast<png_const_bytep>(bytes.data()), 0, kSignatureBytes) != 0)
    throw fail("it does not begin as one");
  Fault fault;
  ReadStructs reading(fault);
  Input input{bytes.data(), bytes.size()};
  png_set_read_fn(reading.png, &input, read_bytes);
  Header header{};
  if (!read_header(reading.png, reading.info, header)) throw fail(fault.text);
  check_header(header, name, largest_side);

  ImageShape shape{(header.colour_type & PNG_COLOR_MASK_COLOR) != 0 ? 3 : 1, static_cast<int32_t>(header.height),
                   static_cast<int32_t>(header.width)};
  const size_t before = pixels.size(), row_bytes = static_cast<size_t>(shape.width * shape.channels);
  pixels.resize(before + static_cast<size_t>(shape.size()));
  std::vector<png_bytep> rows;
  for (int32_t row = 0; row < shape.height; ++row)
    rows.push_back(pixels.data() + before + static_cast<size_t>(row) * row_bytes);
  if (!read_rows(reading.png, reading.info, row_bytes, rows.data())) {
    pixels.resize(before);
    throw fail(fault.text);
  }
  return shape;
}

void encode_png(const ImageShape& shape, const uint8_t* pixels, int level, ByteBuffer& out) {
  Fault fault;
  WriteStructs writing(fault);
  if (!write_image(writing.png, writing.info, shape, pixels, level, &out))
    throw Error(std::string("libpng: cannot write an image: ") + fault.text);
}

std::string png_library_version() {
  return std::string(png_get_libpng_ver(nullptr)) + ", zlib " + zlibVersion();
}

}  // namespace doppel
