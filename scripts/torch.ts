/**
 * Runs and trains in PyTorch what Biform writes for it, beside Biform itself. PyTorch is no dependency: it is installed from PyPI in
 * interop/torch/.venv first, unless BIFORM_PYTHON names a Python that has it.
 */
import { runSuite } from "./suite.ts";

runSuite({
  name: "torch",
  asks: "PyTorch is not installed, or in another version; some minutes and gigabytes",
  given: process.env.BIFORM_PYTHON,
});
