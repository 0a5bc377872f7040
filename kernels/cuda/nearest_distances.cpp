// Nearest neighbours from and to host memory: both tables are on the device whole, 4 bytes a value.
#include <limits>
#include <vector>

#include "kernels/common/nearest.h"
#include "kernels/cuda/nearest.h"

namespace doppel::cuda {

std::vector<float> nearest_distances(Libraries& libraries, const Points& queries, const Points& references) {
  check_nearest(queries, references);
  const bool found = references.rows > 0;
  if (queries.rows == 0 || !found || queries.columns == 0)
    return std::vector<float>(queries.rows, found ? 0.0f : std::numeric_limits<float>::infinity());
  cudaStream_t stream = libraries.stream();
  const DeviceBuffer<float> from = upload(queries.values, stream), to = upload(references.values, stream);
  const DeviceBuffer<float> result(queries.rows, stream);
  search_nearest(from.data(), queries.rows, to.data(), references.rows, queries.columns, result.data(), stream);
  std::vector<float> distances = download(result, stream);
  CUDA_CHECK(cudaStreamSynchronize(stream));
  return distances;
}

}  // namespace doppel::cuda
