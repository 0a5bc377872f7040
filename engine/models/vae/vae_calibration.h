// The last step of fitting a VAE: the biases of the outputs are moved until the codes of generated rows have, on
// average, the shares that the table had.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/models/vae/vae_codes.h"
#include "engine/models/vae/vae_network.h"
#include "kernels/backend.h"
#include "kernels/decoder.h"

namespace doppel {

// Shares of each field's codes among the rows that have one; none is 0.
std::vector<std::vector<double>> code_shares(const CodeSpace& codes, const std::vector<const CodedRows*>& rows);

// Changes the network's output biases. Latents are drawn from the decoder's prior, more of them for tables of more
// rows.
void calibrate(VaeNetwork<float>& network, const CodeSpace& codes, const TableDecoder& decoder,
               const std::vector<std::vector<double>>& shares, int64_t rows, uint64_t seed, const Backend& backend);

}  // namespace doppel
