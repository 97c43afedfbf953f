#ifndef KERASBNN_EXPORT_H_
#define KERASBNN_EXPORT_H_

// What the library shows of itself, beside nothing else.
#define KERASBNN_EXPORT extern "C" __attribute__((visibility("default")))

#endif  // KERASBNN_EXPORT_H_
