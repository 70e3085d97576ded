"""A declarative Jenkinsfile."""

from __future__ import annotations

from string import Template

from orchestrator_cli.infrastructure.ci.steps import CiJob, begin, store, test
from orchestrator_cli.infrastructure.target import BucketTarget

_LABELS = {"commit": "${GIT_COMMIT-}", "url": "${BUILD_URL-}"}
# A build that is aborted did not come to its end.
_FILE = Template("""\
// Jenkinsfile
pipeline {
  agent any
  environment {
    ORCHESTRATOR_BUCKET = '$bucket'
    AWS_REGION = '$region'
  }
  stages {
    stage('Test') {
      steps {
        sh(returnStatus: true, script: '''$begin''')
        sh '''$test'''
      }
    }
  }
  post {
    always {
      script {
        def results = [SUCCESS: 'pass', UNSTABLE: 'fail', FAILURE: 'fail']
        withEnv(["RESULT=$${results.get(currentBuild.currentResult, 'error')}"]) {
          sh(returnStatus: true, script: '''$store''')
        }
      }
    }
  }
}
""")


def render_jenkins(target: BucketTarget, job: CiJob) -> str:
    """Return a pipeline whose storing cannot fail it, and is done when it is aborted too."""
    return _FILE.substitute(
        bucket=target.bucket,
        region=target.region,
        begin=_groovy(begin(job)),
        # Without a first line of its own, a script runs with -x, which is no output of the tests.
        test=_groovy(f"#!/bin/sh -e\n{test(job)}"),
        store=_groovy(store(job, _LABELS)),
    )


def _groovy(script: str) -> str:
    """Return what stands between three quotes."""
    return script.replace("\\", "\\\\").replace("'", "\\'")
