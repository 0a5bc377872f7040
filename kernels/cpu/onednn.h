// oneDNN as layers use it: one engine, a stream a thread, and primitives that are made once with what they work on. For
// source files: this header takes all of oneDNN with it. Its threads are those of OpenMP.
#pragma once

#include <omp.h>

#include <initializer_list>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>
#include <utility>

namespace doppel::onednn {

inline const dnnl::engine& processor() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

inline dnnl::stream& stream() {
  thread_local dnnl::stream stream(processor());
  return stream;
}

// While it lives, the calling thread does oneDNN's work alone: results do not depend on the machine's threads.
class OneThread {
 public:
  OneThread() : threads_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(threads_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int threads_;
};

// Scratch memory is ours: that of the library ties a primitive to the thread that made it.
inline dnnl::primitive_attr attributes() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

// Matrices and images as the layers hold them.
inline dnnl::memory::desc floats(const dnnl::memory::dims& extents, dnnl::memory::format_tag layout) {
  return {extents, dnnl::memory::data_type::f32, layout};
}

// A primitive and its arguments. Arguments are given at each run, or own memory for good.
class Step {
 public:
  template <class Description>
  Step(const dnnl::primitive& primitive, const Description& description) : primitive_(primitive) {
    own(DNNL_ARG_SCRATCHPAD, description.scratchpad_desc());
  }
  void take(int argument, const dnnl::memory::desc& layout) {
    arguments_.emplace(argument, dnnl::memory(layout, processor(), nullptr));
  }
  void own(int argument, const dnnl::memory::desc& layout) {
    arguments_.emplace(argument, dnnl::memory(layout, processor()));
  }
  void share(int argument, const dnnl::memory& memory) { arguments_.emplace(argument, memory); }
  const dnnl::memory& memory(int argument) const { return arguments_.at(argument); }

  void run(std::initializer_list<std::pair<int, const void*>> taken) {
    for (const auto& [argument, values] : taken)
      arguments_.at(argument).set_data_handle(const_cast<void*>(values));  // the primitive knows what it writes
    primitive_.execute(stream(), arguments_);
    stream().wait();
  }

 private:
  dnnl::primitive primitive_;
  std::unordered_map<int, dnnl::memory> arguments_;
};

// From one layout to another.
inline Step make_reorder(const dnnl::memory::desc& from, const dnnl::memory::desc& to, bool adds = false) {
  dnnl::primitive_attr how = attributes();
  if (adds) {
    dnnl::post_ops sum;
    sum.append_sum(1);
    how.set_post_ops(sum);
  }
  const dnnl::reorder::primitive_desc description(processor(), from, processor(), to, how);
  return {dnnl::reorder(description), description};
}

}  // namespace doppel::onednn
