import { ModelIndex, ModelTables } from "./model-index.ts";
import { settledIndexSuite } from "./settled-index.ts";

settledIndexSuite("model index", async (totalBytes) => {
  const tables = new ModelTables();
  return {
    index: new ModelIndex({ tables, totalBytes }),
    reopen: async () => new ModelIndex({ tables, totalBytes }),
    remove: async () => {},
  };
});
