// Products of rows with matrices (kernels/product.h) on a CUDA device.
#pragma once

#include <cstddef>
#include <memory>

#include "kernels/product.h"

namespace doppel::cuda {

inline constexpr size_t kProductBytes = size_t{32} << 20;  // of rows and products at a time

// row_products.cpp. Selects the device. Rows go through in pieces of so many bytes, smaller ones where memory is short.
std::unique_ptr<PreparedProducts> prepare_cuda_products(const ProductMatrices& matrices, int device,
                                                        size_t product_bytes = kProductBytes);

}  // namespace doppel::cuda
