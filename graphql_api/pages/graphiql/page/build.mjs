// Bundles the page and the editor's workers into dist/.
import {build} from "esbuild";

await build({
  entryPoints: {
    main: "main.js",
    "editor.worker": "monaco-editor/esm/vs/editor/editor.worker.js",
    "graphql.worker": "monaco-graphql/esm/graphql.worker.js",
    "json.worker": "monaco-editor/esm/vs/language/json/json.worker.js",
  },
  outdir: "dist",
  bundle: true,
  minify: true,
  define: {"process.env.NODE_ENV": '"production"'},
  loader: {".graphql": "text", ".ttf": "file"},
});
