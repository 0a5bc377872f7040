// Co-moments by matrix products: with X [rows, columns] the values, P their presence (0 or 1) and X2 the squares,
//   count = P'P, product = X'X (symmetric: Dsyrk), sum = X'P, square = X2'P (Dgemm);
// where nothing is missing, sum and square are column sums. 2 to 6 rows columns^2 flop; the upload of X and P, 16 bytes
// a cell at most, bounds it below some 500 columns. The block is on the device whole.
#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/common/statistics.h"
#include "kernels/cuda/co_moments.h"
#include "kernels/cuda/statistics.h"

namespace doppel::cuda {
namespace {

using Matrix = DeviceBuffer<double>;

class Products {
 public:
  Products(Libraries& libraries, int64_t rows, int64_t columns)
      : libraries_(libraries), rows_(static_cast<int>(rows)), columns_(static_cast<int>(columns)) {}

  // result[i, j] = sum over rows of a_i b_j, row-major: to cuBLAS, column-major, its transpose B'A.
  Matrix of(const Matrix& a, const Matrix& b) const {
    Matrix result = square_matrix();
    const double one = 1, zero = 0;
    CUDA_CHECK(cublasDgemm(libraries_.blas(), CUBLAS_OP_T, CUBLAS_OP_N, columns_, columns_, rows_, &one, b.data(),
                           rows_, a.data(), rows_, &zero, result.data(), columns_));
    return result;
  }
  // The same for b = a: entries i <= j of the row-major result, which are column-major's lower triangle.
  Matrix of(const Matrix& a) const {
    Matrix result = square_matrix();
    // The other triangle is copied to the host with this one.
    CUDA_CHECK(cudaMemsetAsync(result.data(), 0, result.size() * sizeof(double), libraries_.stream()));
    const double one = 1, zero = 0;
    CUDA_CHECK(cublasDsyrk(libraries_.blas(), CUBLAS_FILL_MODE_LOWER, CUBLAS_OP_T, columns_, rows_, &one, a.data(),
                           rows_, &zero, result.data(), columns_));
    return result;
  }

 private:
  Matrix square_matrix() const {
    return Matrix(static_cast<size_t>(columns_) * static_cast<size_t>(columns_), libraries_.stream());
  }
  Libraries& libraries_;
  int rows_, columns_;
};

void add(const std::vector<double>& block, std::vector<double>& to) {
  for (size_t i = 0; i < to.size(); ++i) to[i] += block[i];
}

void add_symmetric(const std::vector<double>& upper, int64_t columns, std::vector<double>& to) {
  for (int64_t i = 0; i < columns; ++i) {
    for (int64_t j = 0; j < columns; ++j) to[i * columns + j] += upper[std::min(i, j) * columns + std::max(i, j)];
  }
}

void add_sums(const MaskedMatrix& values, const std::vector<double>& sums, const std::vector<double>& squares,
              CoMoments& moments) {
  for (int64_t i = 0; i < values.columns; ++i) {
    for (int64_t j = 0; j < values.columns; ++j) {
      const int64_t entry = i * values.columns + j;
      moments.count[entry] += static_cast<double>(values.rows);
      moments.sum[entry] += sums[i];
      moments.square[entry] += squares[i];
    }
  }
}

}  // namespace

void accumulate_co_moments(Libraries& libraries, const MaskedMatrix& values, CoMoments& moments) {
  check_co_moments(values, moments);
  if (values.rows == 0 || values.columns == 0) return;
  if (values.rows > std::numeric_limits<int>::max()) throw Error("co-moments: more than 2^31 - 1 rows in a block");
  cudaStream_t stream = libraries.stream();
  const Products products(libraries, values.rows, values.columns);
  const Matrix x = upload(values.values, stream);
  const Matrix product = products.of(x);
  if (values.present.empty()) {
    const auto columns = static_cast<size_t>(values.columns);
    const Matrix sums(columns, stream), squares(columns, stream);
    sum_columns(x.data(), values.rows, values.columns, sums.data(), squares.data(), stream);
    const auto host_sums = download(sums, stream), host_squares = download(squares, stream);
    const auto host_product = download(product, stream);
    CUDA_CHECK(cudaStreamSynchronize(stream));
    add_sums(values, host_sums, host_squares, moments);
    add_symmetric(host_product, values.columns, moments.product);
    return;
  }
  const Matrix present = upload(values.present, stream), squared(values.values.size(), stream);
  square_values(x.data(), static_cast<int64_t>(squared.size()), squared.data(), stream);
  const Matrix count = products.of(present), sum = products.of(x, present), square = products.of(squared, present);
  const auto host_count = download(count, stream), host_sum = download(sum, stream);
  const auto host_square = download(square, stream), host_product = download(product, stream);
  CUDA_CHECK(cudaStreamSynchronize(stream));
  add_symmetric(host_count, values.columns, moments.count);
  add(host_sum, moments.sum);
  add(host_square, moments.square);
  add_symmetric(host_product, values.columns, moments.product);
}

}  // namespace doppel::cuda
