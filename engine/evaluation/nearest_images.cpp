// Distances come as |a|^2 + |b|^2 - 2 a b from matrix products in single precision, and those that may be the least, as
// far as rounding can tell, are computed again in whole numbers: about log(references) of each query.
#include "engine/evaluation/nearest_images.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/product.h"

namespace doppel {
namespace {

constexpr int64_t kBlockBytes = 16 << 20;
constexpr int64_t kMostQueryRows = 1024, kMostReferenceRows = 2048;
constexpr double kHalfUlp = 0x1p-24;

int64_t squared_distance(const uint8_t* a, const uint8_t* b, int64_t size) {
  constexpr int64_t kPiece = 4096;  // whose sum is less than 2^31
  int64_t sum = 0;
  for (int64_t first = 0; first < size; first += kPiece) {
    int32_t of_piece = 0;
    for (int64_t i = first; i < std::min(first + kPiece, size); ++i) of_piece += (a[i] - b[i]) * (a[i] - b[i]);
    sum += of_piece;
  }
  return sum;
}

// Levels of some images and their sums of squares.
struct Block {
  std::vector<float> levels;
  std::vector<double> squares;

  void load(const Images& images, const std::vector<int64_t>& numbers, int64_t first, int64_t rows) {
    const int64_t size = images.shape.size();
    levels.resize(static_cast<size_t>(rows * size));
    squares.resize(static_cast<size_t>(rows));
    for (int64_t row = 0; row < rows; ++row) {
      const uint8_t* const image = images.image(numbers[static_cast<size_t>(first + row)]);
      std::copy(image, image + size, levels.begin() + row * size);
      int64_t sum = 0;
      for (int64_t i = 0; i < size; ++i) sum += int64_t{image[i]} * image[i];
      squares[static_cast<size_t>(row)] = static_cast<double>(sum);
    }
  }
};

int64_t block_rows(int64_t size, int64_t most) {
  return std::clamp<int64_t>(kBlockBytes / (size * static_cast<int64_t>(sizeof(float))), 1, most);
}

}  // namespace

std::vector<NearestImage> find_nearest_images(const Images& of, const std::vector<int64_t>& queries,
                                              const Images& among, const std::vector<int64_t>& references,
                                              const std::function<void(double)>& progress) {
  const int64_t size = of.shape.size();
  const auto query_count = static_cast<int64_t>(queries.size()), count = static_cast<int64_t>(references.size());
  const int64_t query_step = block_rows(size, kMostQueryRows), step = block_rows(size, kMostReferenceRows);
  std::vector<NearestImage> nearest(queries.size());
  Block asked, searched;
  std::vector<float> products;
  for (int64_t first_query = 0; first_query < query_count; first_query += query_step) {
    const int64_t query_rows = std::min(query_step, query_count - first_query);
    asked.load(of, queries, first_query, query_rows);
    for (int64_t first = 0; first < count; first += step) {
      const int64_t rows = std::min(step, count - first);
      searched.load(among, references, first, rows);
      products.resize(static_cast<size_t>(query_rows * rows));
      multiply(CblasNoTrans, CblasTrans, query_rows, rows, size, asked.levels.data(), searched.levels.data(), 0,
               products.data());
      for (int64_t q = 0; q < query_rows; ++q) {
        const auto query = static_cast<size_t>(first_query + q);
        const double square = asked.squares[static_cast<size_t>(q)];
        for (int64_t r = 0; r < rows; ++r) {
          // |rounding of a product| <= size ulp / 2 |a| |b|, and |a| |b| <= (|a|^2 + |b|^2) / 2
          const double squares = square + searched.squares[static_cast<size_t>(r)];
          const double least =
              squares * (1 - static_cast<double>(size) * kHalfUlp) - 2.0 * products[static_cast<size_t>(q * rows + r)];
          if (least >= static_cast<double>(nearest[query].squared)) continue;
          const int64_t number = references[static_cast<size_t>(first + r)];
          const int64_t exact = squared_distance(of.image(queries[query]), among.image(number), size);
          if (exact < nearest[query].squared) nearest[query] = {number, exact};
        }
      }
      const double of_queries = static_cast<double>(first + rows) / static_cast<double>(count);
      if (progress)
        progress((static_cast<double>(first_query) + of_queries * static_cast<double>(query_rows)) /
                 static_cast<double>(query_count));
    }
  }
  return nearest;
}

}  // namespace doppel
