{
  "targets": [
    {
      "target_name": "isal",
      "sources": ["binding.cc", "checksum.cc", "erasure.cc"],
      "cflags": ["-Wall", "-Wextra", "-Werror"],
      "cflags_cc": ["-std=c++17"],
      "libraries": ["-lisal"]
    }
  ]
}
