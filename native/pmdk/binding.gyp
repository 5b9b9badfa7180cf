{
  "targets": [
    {
      "target_name": "pmdk",
      "sources": ["binding.cc", "library.cc", "mapping.cc", "source.cc"],
      "cflags": ["-Wall", "-Wextra", "-Werror"],
      "cflags_cc!": ["-fno-exceptions"],
      "cflags_cc": ["-std=c++17", "-fexceptions"],
      "libraries": ["-ldl"]
    }
  ]
}
