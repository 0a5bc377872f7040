// Products of rows (kernels/product.h) on the CPU, by OpenBLAS.
#pragma once

#include <memory>

#include "kernels/product.h"

namespace doppel {

std::unique_ptr<PreparedProducts> prepare_products_on_cpu(const ProductMatrices& matrices);

}  // namespace doppel
