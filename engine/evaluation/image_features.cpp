// Images in the features of a classifier: the Fréchet distance, precision and recall.
#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/evaluation/image_evaluation.h"
#include "kernels/cpu/product.h"
#include "kernels/backend.h"

namespace doppel {
namespace {

constexpr int64_t kBlockRows = 512;

// A^1/2 of a positive semidefinite A; what rounding makes negative counts as 0.
std::vector<double> root_of(const std::vector<double>& matrix, int64_t order, const Backend& backend) {
  const SymmetricEigen eigen = backend.symmetric_eigen(matrix, order);
  std::vector<double> scaled = eigen.vectors, root(matrix.size());
  for (int64_t row = 0; row < order; ++row)
    for (int64_t k = 0; k < order; ++k)
      scaled[static_cast<size_t>(row * order + k)] *= std::sqrt(std::max(eigen.values[static_cast<size_t>(k)], 0.0));
  multiply(CblasNoTrans, CblasTrans, order, order, order, scaled.data(), eigen.vectors.data(), 0, root.data());
  return root;
}

double trace_of(const std::vector<double>& matrix, int64_t order) {
  double sum = 0;
  for (int64_t i = 0; i < order; ++i) sum += matrix[static_cast<size_t>(i * (order + 1))];
  return sum;
}

// Points about the mean of the real ones, which keeps rounding of |a|^2 + |b|^2 - 2 a b small, and their squares.
struct CentredPoints {
  int64_t count, width;
  std::vector<float> values, squares;

  CentredPoints(const std::vector<float>& points, const std::vector<double>& centre)
      : count(static_cast<int64_t>(points.size() / centre.size())),
        width(static_cast<int64_t>(centre.size())),
        values(points),
        squares(static_cast<size_t>(count)) {
    for (int64_t i = 0; i < count; ++i) {
      float* const row = values.data() + i * width;
      double sum = 0;
      for (int64_t k = 0; k < width; ++k) {
        row[k] = static_cast<float>(row[k] - centre[static_cast<size_t>(k)]);
        sum += double{row[k]} * row[k];
      }
      squares[static_cast<size_t>(i)] = static_cast<float>(sum);
    }
  }
};

// Calls take(first row, rows, squared distances [rows, b.count]) for block after block of a.
template <class Take>
void for_each_block(const CentredPoints& a, const CentredPoints& b, const Take& take) {
  std::vector<float> distances(static_cast<size_t>(kBlockRows * b.count));
  for (int64_t first = 0; first < a.count; first += kBlockRows) {
    const int64_t rows = std::min(kBlockRows, a.count - first);
    multiply(CblasNoTrans, CblasTrans, rows, b.count, a.width, a.values.data() + first * a.width, b.values.data(), 0,
             distances.data());
    for (int64_t row = 0; row < rows; ++row) {
      const float square = a.squares[static_cast<size_t>(first + row)];
      float* const of_row = distances.data() + row * b.count;
      for (int64_t i = 0; i < b.count; ++i)
        of_row[i] = std::max(square + b.squares[static_cast<size_t>(i)] - 2 * of_row[i], 0.0f);
    }
    take(first, rows, distances.data());
  }
}

// Of each point, the squared distance to its k-th nearest other one.
std::vector<float> radii_of(const CentredPoints& points, int64_t neighbours) {
  std::vector<float> radii(static_cast<size_t>(points.count));
  for_each_block(points, points, [&](int64_t first, int64_t rows, float* distances) {
    std::vector<float> nearest(static_cast<size_t>(neighbours));
    for (int64_t row = 0; row < rows; ++row) {
      float* const of_row = distances + row * points.count;
      of_row[first + row] = std::numeric_limits<float>::infinity();
      std::partial_sort_copy(of_row, of_row + points.count, nearest.begin(), nearest.end());
      radii[static_cast<size_t>(first + row)] = nearest.back();
    }
  });
  return radii;
}

}  // namespace

FeatureMoments moments_of(const std::vector<float>& features, int64_t width) {
  FeatureMoments moments{static_cast<int64_t>(features.size()) / width, std::vector<double>(static_cast<size_t>(width)),
                         std::vector<double>(static_cast<size_t>(width * width))};
  for (size_t i = 0; i < features.size(); ++i) moments.mean[i % static_cast<size_t>(width)] += features[i];
  for (double& mean : moments.mean) mean /= static_cast<double>(moments.count);
  std::vector<double> centred;
  for (int64_t first = 0; first < moments.count; first += kBlockRows) {
    const int64_t rows = std::min(kBlockRows, moments.count - first);
    centred.resize(static_cast<size_t>(rows * width));
    for (size_t i = 0; i < centred.size(); ++i)
      centred[i] = features[static_cast<size_t>(first * width) + i] - moments.mean[i % static_cast<size_t>(width)];
    multiply(CblasTrans, CblasNoTrans, width, width, rows, centred.data(), centred.data(), first > 0 ? 1 : 0,
             moments.covariance.data());
  }
  for (double& entry : moments.covariance) entry /= static_cast<double>(std::max<int64_t>(moments.count - 1, 1));
  return moments;
}

double frechet_distance(const FeatureMoments& a, const FeatureMoments& b, const Backend& backend) {
  const auto width = static_cast<int64_t>(a.mean.size());
  double distance = trace_of(a.covariance, width) + trace_of(b.covariance, width);
  for (size_t k = 0; k < a.mean.size(); ++k) distance += (a.mean[k] - b.mean[k]) * (a.mean[k] - b.mean[k]);
  const std::vector<double> root = root_of(a.covariance, width, backend);
  std::vector<double> half(root.size()), inner(root.size());
  multiply(CblasNoTrans, CblasNoTrans, width, width, width, root.data(), b.covariance.data(), 0, half.data());
  multiply(CblasNoTrans, CblasNoTrans, width, width, width, half.data(), root.data(), 0, inner.data());
  for (int64_t i = 0; i < width; ++i)  // symmetric but for rounding
    for (int64_t j = 0; j < i; ++j) {
      double &below = inner[static_cast<size_t>(i * width + j)], &above = inner[static_cast<size_t>(j * width + i)];
      below = above = (below + above) / 2;
    }
  for (const double value : backend.symmetric_eigen(inner, width).values)
    distance -= 2 * std::sqrt(std::max(value, 0.0));
  return std::max(distance, 0.0);
}

PrecisionRecall precision_and_recall(const std::vector<float>& real, const std::vector<float>& other, int64_t width,
                                     int64_t neighbours) {
  const std::vector<double> centre = moments_of(real, width).mean;
  const CentredPoints reals(real, centre), others(other, centre);
  if (reals.count <= neighbours || others.count <= neighbours) return {};
  const std::vector<float> real_radii = radii_of(reals, neighbours), other_radii = radii_of(others, neighbours);
  std::vector<uint8_t> is_covered(static_cast<size_t>(others.count));  // by a ball about a real one
  int64_t recalled = 0;
  for_each_block(reals, others, [&](int64_t first, int64_t rows, const float* distances) {
    for (int64_t row = 0; row < rows; ++row) {
      const float radius = real_radii[static_cast<size_t>(first + row)];
      const float* const of_row = distances + row * others.count;
      bool is_recalled = false;
      for (int64_t i = 0; i < others.count; ++i) {
        is_covered[static_cast<size_t>(i)] |= of_row[i] <= radius;
        is_recalled |= of_row[i] <= other_radii[static_cast<size_t>(i)];
      }
      recalled += is_recalled;
    }
  });
  const auto covered = std::count(is_covered.begin(), is_covered.end(), uint8_t{1});
  return {static_cast<double>(covered) / static_cast<double>(others.count),
          static_cast<double>(recalled) / static_cast<double>(reals.count)};
}

}  // namespace doppel
