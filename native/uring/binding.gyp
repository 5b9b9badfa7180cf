{
  "targets": [
    {
      "target_name": "uring",
      "sources": ["binding.cc", "device-file.cc", "pages.cc", "ring.cc", "wake-thread.cc"],
      "cflags": ["-Wall", "-Wextra", "-Werror"],
      "cflags_cc": ["-std=c++17"],
      "cflags_cc!": ["-std=gnu++20", "-std=gnu++17"],
      "ldflags": ["-static-libstdc++", "-static-libgcc"],
      "variables": {
        # The static library makes an addon, and an executable, that runs where the package is absent.
        "library": "<!(c++ -print-file-name=liburing.a)"
      },
      "conditions": [
        ["library=='liburing.a'", { "libraries": ["-luring"] }, { "libraries": ["-l:liburing.a"] }]
      ]
    }
  ]
}
