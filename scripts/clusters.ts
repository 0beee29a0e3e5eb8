/**
 * Tries experiments on the engines that people have: Slurm where Debian's packages are installed, Ray and a server of S3's from PyPI, and Kubernetes'
 * published schemas. None of them is a dependency of Biform: what PyPI has is installed in interop/cluster/.venv first.
 */
import { runSuite } from "./suite.ts";

runSuite({
  name: "cluster",
  asks: "Ray, moto and Kubernetes' schemas are not installed, or in other versions; some minutes",
});
