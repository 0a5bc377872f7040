// Nearest neighbours from and to host memory: both tables are on the device whole, 4 bytes a value.
#include <limits>
#include <vector>

#include "kernels/common/nearest.h"
#include "kernels/cuda/nearest.h"

namespace doppel::cuda {
namespace {

DeviceBuffer<float> upload(const Points& points, cudaStream_t stream) {
  DeviceBuffer<float> values(points.values.size(), stream);
  CUDA_CHECK(
      cudaMemcpyAsync(values.data(), points.values.data(), points.values.size_bytes(), cudaMemcpyHostToDevice, stream));
  return values;
}

}  // namespace

std::vector<float> nearest_distances(Libraries& libraries, const Points& queries, const Points& references) {
  check_nearest(queries, references);
  const bool found = references.rows > 0;
  std::vector<float> distances(queries.rows, found ? 0.0f : std::numeric_limits<float>::infinity());
  if (queries.rows == 0 || !found || queries.columns == 0) return distances;
  cudaStream_t stream = libraries.stream();
  const DeviceBuffer<float> from = upload(queries, stream), to = upload(references, stream);
  const DeviceBuffer<float> result(distances.size(), stream);
  search_nearest(from.data(), queries.rows, to.data(), references.rows, queries.columns, result.data(), stream);
  CUDA_CHECK(cudaMemcpyAsync(distances.data(), result.data(), distances.size() * sizeof(float), cudaMemcpyDeviceToHost,
                             stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  return distances;
}

}  // namespace doppel::cuda
