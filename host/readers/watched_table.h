// A table whose reading is watched, and ends when the user interrupts.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "engine/table/source.h"

namespace doppel {

// Hands on the chunks of `source`. Before each, calls on_chunk(bytes read of this pass, bytes in all), if there is one,
// and throws Error with status kInterrupted once a signal has asked to stop (host/interrupt.h). Cells
// are located on any thread, whatever another one reads meanwhile.
std::unique_ptr<TableSource> watch_table(std::unique_ptr<TableSource> source,
                                         std::function<void(int64_t, int64_t)> on_chunk = {});

// Throws Error with status kInterrupted once a signal has asked to stop. To be called before a command's first result
// is written: the message says that there is none.
void throw_if_interrupted();

}  // namespace doppel
