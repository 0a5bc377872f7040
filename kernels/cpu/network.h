// Trained networks on the CPU, by oneDNN, as inference wants it: weights in the layouts that its kernels are fastest
// with, copied once, and ReLUs in the same pass as the sums before them. Rows go through in blocks that leave what the
// layers hand on in the cache of a core. In bfloat16 it is twice as fast and more where the processor has AMX.
#pragma once

#include <memory>

#include "kernels/network.h"

namespace doppel {

// Whether this processor has instructions for products of numbers in bfloat16.
bool has_fast_bfloat16();

// Throws UsageError for kBfloat16 where it is not fast. Its threads are OpenMP's: see onednn::OneThread.
std::unique_ptr<PreparedNetwork> prepare_network_on_cpu(const TrainedNetwork& network, Precision precision);

}  // namespace doppel
