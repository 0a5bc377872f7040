// The host's half of the CUDA image sampler: blocks of images, two at a time; while one is copied the next is computed.
// Images go straight to memory that is pinned (`allocate`), to other memory through a staging buffer.
#include "kernels/cuda/image_sampler.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "kernels/common/error.h"
#include "kernels/cpu/image_sampler.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/network_on_device.h"
#include "kernels/cuda/table_constants.h"

namespace doppel::cuda {
namespace {

constexpr int64_t kMostLatents = 1024;  // whose normals are in 32 KiB of shared memory
constexpr int64_t kPreferredBlocks = 8;

class CudaImageSampler : public PreparedImageSampler {
 public:
  CudaImageSampler(const ImageSampler& sampler, int device);
  ~CudaImageSampler() override;
  void sample(uint64_t seed, uint64_t first_row, int64_t rows, uint8_t* images, int32_t* labels) override;
  HostMemory allocate(size_t bytes) const override;
  int64_t preferred_rows() const override { return kPreferredBlocks * decoder_.rows(); }

 private:
  struct Block {  // one of the two buffers
    DeviceBuffer<uint8_t> images;
    DeviceBuffer<int32_t> labels;
    PinnedBuffer<std::byte> staging;  // made when it is needed: images, then labels
    Event computed = make_event(), copied = make_event();
    // What of it was asked for, and where that goes.
    int64_t skipped = 0, rows = 0;
    uint8_t* to_images = nullptr;
    int32_t* to_labels = nullptr;
  };
  void upload_latents(const ImageSampler& sampler);
  void upload_texture(const ImageTexture& texture);
  void start(Block& block, uint64_t seed, uint64_t first_row);
  void finish(Block& block);
  size_t image_bytes(int64_t rows) const { return static_cast<size_t>(rows * levels_); }
  int32_t* staged_labels(const Block& block) const {
    return reinterpret_cast<int32_t*>(block.staging.get() + image_bytes(decoder_.rows()));
  }

  void write_block(Block& block, uint64_t seed, uint64_t first_row);

  int device_;
  int64_t levels_;
  PixelLikelihood likelihood_;
  Stream compute_, copy_;
  NetworkOnDevice decoder_;
  DeviceBuffer<std::byte> constants_, texture_constants_;
  LatentArguments latents_{};                                   // but for seed, row and labels
  TextureArguments texture_{};                                  // likewise, and images; no directions: no texture
  bool images_are_pinned_ = false, labels_are_pinned_ = false;  // of the batch at hand
  std::array<Block, 2> blocks_;
};

CudaImageSampler::CudaImageSampler(const ImageSampler& sampler, int device)
    : device_(select_device(device)),
      levels_(sampler.levels()),
      likelihood_(sampler.likelihood),
      compute_(make_stream()),
      copy_(make_stream()),
      decoder_(sampler.decoder, sampler.precision, sampler.block_rows, device, compute_.get()) {
  upload_latents(sampler);
  if (sampler.texture) upload_texture(*sampler.texture);
  for (Block& block : blocks_) {
    block.images = DeviceBuffer<uint8_t>(image_bytes(decoder_.rows()), compute_.get());
    block.labels = DeviceBuffer<int32_t>(static_cast<size_t>(decoder_.rows()), compute_.get());
  }
}

CudaImageSampler::~CudaImageSampler() {  // an exception may have left copies under way
  cudaSetDevice(device_);
  cudaStreamSynchronize(copy_.get());
  cudaStreamSynchronize(compute_.get());
}

void CudaImageSampler::upload_latents(const ImageSampler& sampler) {
  const LatentMembers& members = sampler.members;
  const LatentDraws draws = prepare_draws(sampler);
  Blob blob;
  const size_t labels_up_to = blob.put(draws.labels_up_to), members_up_to = blob.put(draws.members_up_to);
  const size_t first = blob.put(std::vector<int32_t>(members.first.begin(), members.first.end()));
  const size_t mean = blob.put(members.mean), factor = blob.put(draws.factor_columns);
  constants_ = upload(blob, compute_.get());
  const std::byte* uploaded = constants_.data();
  latents_.rows = decoder_.rows();
  latents_.label_count = static_cast<int32_t>(sampler.label_weights.size());
  latents_.latent = static_cast<int32_t>(members.latent);
  latents_.temperature = static_cast<float>(sampler.temperature);
  latents_.labels_up_to = reinterpret_cast<const double*>(uploaded + labels_up_to);
  latents_.members_up_to = reinterpret_cast<const double*>(uploaded + members_up_to);
  latents_.first_member = reinterpret_cast<const int32_t*>(uploaded + first);
  latents_.mean = reinterpret_cast<const float*>(uploaded + mean);
  latents_.factor_columns = reinterpret_cast<const float*>(uploaded + factor);
  latents_.latents = decoder_.input();
}

void CudaImageSampler::upload_texture(const ImageTexture& texture) {
  Blob blob;
  const size_t spread = blob.put(texture.spread), factor = blob.put(texture.factor), noise = blob.put(texture.noise);
  texture_constants_ = upload(blob, compute_.get());
  texture_.rows = static_cast<int32_t>(decoder_.rows());
  texture_.levels = static_cast<int32_t>(levels_);
  texture_.directions = static_cast<int32_t>(texture.directions);
  texture_.first_block = static_cast<uint32_t>(1 + normal_blocks(latents_.latent));
  texture_.noise_block = texture_.first_block + static_cast<uint32_t>(normal_blocks(texture.directions));
  texture_.temperature = latents_.temperature;
  texture_.outputs = decoder_.output();
  texture_.spread = reinterpret_cast<const float*>(texture_constants_.data() + spread);
  texture_.factor = reinterpret_cast<const float*>(texture_constants_.data() + factor);
  texture_.noise = reinterpret_cast<const float*>(texture_constants_.data() + noise);
}

HostMemory CudaImageSampler::allocate(size_t bytes) const {
  CUDA_CHECK(cudaSetDevice(device_));
  return allocate_for_copies(bytes);
}

void CudaImageSampler::sample(uint64_t seed, uint64_t first_row, int64_t rows, uint8_t* images, int32_t* labels) {
  if (rows <= 0) return;
  CUDA_CHECK(cudaSetDevice(device_));
  images_are_pinned_ = is_pinned(images);
  labels_are_pinned_ = labels != nullptr && is_pinned(labels);
  Block* waiting = nullptr;
  for (size_t turn = 0; rows > 0; ++turn) {
    Block& block = blocks_[turn % 2];
    block.skipped = static_cast<int64_t>(first_row % static_cast<uint64_t>(decoder_.rows()));
    block.rows = std::min(rows, decoder_.rows() - block.skipped);
    block.to_images = images;
    block.to_labels = labels;
    start(block, seed, first_row - static_cast<uint64_t>(block.skipped));
    if (waiting) finish(*waiting);
    waiting = &block;
    first_row += static_cast<uint64_t>(block.rows);
    rows -= block.rows;
    images += image_bytes(block.rows);
    if (labels) labels += block.rows;
  }
  finish(*waiting);
}

void CudaImageSampler::write_block(Block& block, uint64_t seed, uint64_t first_row) {
  if (texture_.directions == 0) {
    write_levels(decoder_.output(), decoder_.rows() * levels_, likelihood_, block.images.data(), compute_.get());
    return;
  }
  TextureArguments texture = texture_;
  texture.seed = seed;
  texture.first_row = first_row;
  texture.labels = block.labels.data();
  texture.images = block.images.data();
  write_textured_levels(texture, likelihood_, compute_.get());
}

// The block's last copy was waited for by `finish`, so its buffers are free.
void CudaImageSampler::start(Block& block, uint64_t seed, uint64_t first_row) {
  LatentArguments latents = latents_;
  latents.seed = seed;
  latents.first_row = first_row;
  latents.labels = block.labels.data();
  draw_image_latents(latents, compute_.get());
  decoder_.run(block.labels.data());
  write_block(block, seed, first_row);
  CUDA_CHECK(cudaEventRecord(block.computed.get(), compute_.get()));
  CUDA_CHECK(cudaStreamWaitEvent(copy_.get(), block.computed.get(), 0));

  const bool all_are_pinned = images_are_pinned_ && (labels_are_pinned_ || block.to_labels == nullptr);
  if (!all_are_pinned && !block.staging)
    block.staging =
        make_pinned<std::byte>(image_bytes(decoder_.rows()) + static_cast<size_t>(decoder_.rows()) * sizeof(int32_t));
  const auto copy = [&](void* to, const void* from, size_t bytes) {
    CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, copy_.get()));
  };
  copy(images_are_pinned_ ? static_cast<void*>(block.to_images) : block.staging.get(),
       block.images.data() + image_bytes(block.skipped), image_bytes(block.rows));
  if (block.to_labels)
    copy(labels_are_pinned_ ? block.to_labels : staged_labels(block), block.labels.data() + block.skipped,
         static_cast<size_t>(block.rows) * sizeof(int32_t));
  CUDA_CHECK(cudaEventRecord(block.copied.get(), copy_.get()));
}

void CudaImageSampler::finish(Block& block) {
  CUDA_CHECK(cudaEventSynchronize(block.copied.get()));
  if (!images_are_pinned_) std::memcpy(block.to_images, block.staging.get(), image_bytes(block.rows));
  if (block.to_labels && !labels_are_pinned_) std::copy_n(staged_labels(block), block.rows, block.to_labels);
}

}  // namespace

std::unique_ptr<PreparedImageSampler> prepare_cuda_image_sampler(const ImageSampler& sampler, int device) {
  check_image_sampler(sampler);
  if (sampler.members.latent > kMostLatents)
    throw UsageError("images of more than " + std::to_string(kMostLatents) + " latents: take --backend cpu");
  return std::make_unique<CudaImageSampler>(sampler, device);
}

}  // namespace doppel::cuda
